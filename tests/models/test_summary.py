from __future__ import annotations

import numpy as np
import pytest

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
    assert "…" in lines[0]  # a word that is too long is cut


def test_summary_of_a_model_in_a_model_and_of_a_part():
    inner = lamina.Sequential([layers.Dense(7), layers.Dropout(0.1)], name="inner")
    model = lamina.Sequential([lamina.Input((5,)), layers.Dense(3), inner, layers.Dense(1, name="last")])
    lines = []
    model.summary(print_fn=lines.append)
    assert "inner (Sequential)" in lines[0]
    assert "└ dense" not in lines[0]
    model.summary(print_fn=lines.append, expand_nested=True)
    assert "   └ dense" in lines[1]
    model.summary(print_fn=lines.append, layer_range=("inner", "last"))
    assert "dense_1 (Dense)" not in lines[2]
    assert "inner (Sequential)" in lines[2]
    for wrong in (("inner",), ("nobody", "last"), "inner"):
        with pytest.raises(ValueError, match="layer_range must"):
            model.summary(layer_range=wrong)
    with pytest.raises(ValueError, match="positions must be 3 ascending shares"):
        model.summary(positions=[1.0, 0.5, 0.2])
    with pytest.raises(ValueError, match="line_length must leave room"):
        model.summary(line_length=5)


def test_summary_counts_the_optimizer():
    model = lamina.Sequential([lamina.Input((5,)), layers.Dense(3)])
    model.compile("adam", "mse")
    lines = []
    model.summary(print_fn=lines.append)
    model.fit(np.ones((4, 5)), np.ones((4, 3)), verbose=0)
    model.summary(print_fn=lines.append)
    assert "Total params: 18 (72.00 B)" in lines[0]
    assert "Optimizer params: 38 (152.00 B)" in lines[1]  # two means of 18, the iteration and the rate
    assert "Total params: 56 (224.00 B)" in lines[1]
