"""Tables of the logs."""

from __future__ import annotations

import csv

from helpers import model_and_data

from lamina import callbacks


def test_csv_logger(tmp_path, rng):
    model, x, y = model_and_data(rng)
    path = tmp_path / "log.csv"
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(path)]).history
    model.fit(x, y, epochs=1, verbose=0, callbacks=[callbacks.CSVLogger(path, append=True)])
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["epoch", "R2Score", "loss", "mae"]
    assert [row[0] for row in rows[1:]] == ["0", "1", "0"]
    assert [float(row[2]) for row in rows[1:3]] == history["loss"]
    later = callbacks.CSVLogger(tmp_path / "later.csv")
    model.fit(x, y, epochs=2, verbose=0, validation_data=(x, y), validation_freq=2, callbacks=[later])
    rows = list(csv.reader((tmp_path / "later.csv").read_text().splitlines()))
    assert rows[0] == ["epoch", "R2Score", "loss", "mae", "val_R2Score", "val_loss", "val_mae"]
    assert rows[1][4:] == ["NA"] * 3
    assert "NA" not in rows[2]
