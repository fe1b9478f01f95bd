from __future__ import annotations

import lamina
from lamina import layers

EXPECTED = """\
Model: "sequential"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ dense (Dense)                   │ (None, 3)              │            12 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense_1 (Dense)                 │ (None, 1)              │             4 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 16 (64.00 B)
 Trainable params: 16 (64.00 B)
 Non-trainable params: 0 (0.00 B)
"""


def test_summary_is_keras_layout(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lamina.Sequential([layers.Dense(3, input_dim=3), layers.Dense(1)]).summary()
    assert capsys.readouterr().out == EXPECTED


def test_summary_counts_frozen_and_large():
    model = lamina.Sequential([layers.Dense(1000, input_dim=2000), layers.Dense(10, trainable=False)])
    lines = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert "2,001,000" in text
    assert "Total params: 2,011,010 (7.67 MB)" in text
    assert "Trainable params: 2,001,000" in text
    assert "Non-trainable params: 10,010 (39.10 KB)" in text
    lines.clear()
    model.summary(print_fn=lines.append, show_trainable=True, line_length=100)
    rows = [row for row in lines[0].splitlines() if "(Dense)" in row]
    assert [row.split("│")[4].strip() for row in rows] == ["Y", "N"]


def test_summary_of_unbuilt_and_long_names():
    model = lamina.Sequential([layers.Dense(3, name="a" * 50)], name="late")
    lines = []
    model.summary(line_length=80, print_fn=lines.append)
    rows = lines[0].splitlines()
    assert "0 (unbuilt)" in lines[0]
    assert "?" in lines[0]
    assert rows[0] == 'Model: "late"'
    table = [row for row in rows if row[0] in "┏┃┡│├└"]
    assert len({len(row) for row in table}) == 1
    assert sum(row.count("a") for row in table) >= 50
