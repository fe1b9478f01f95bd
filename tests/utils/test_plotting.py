from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina.utils import model_to_dot, plot_model


def network():
    inner = lamina.Sequential([lamina.Input((5,)), layers.Dense(3, "tanh", name="inside")], name="inner")
    return lamina.Sequential([lamina.Input((4,), name="start"), layers.Dense(5, "relu", name="first"), inner])


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_a_model_is_drawn(suffix, rankdir, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    before = matplotlib.get_backend(auto_select=False)
    target = tmp_path / f"model.{suffix}"
    assert plot_model(network(), target, True, True, True, rankdir, True, 60, True, True) is None
    start = target.read_bytes()[:5]
    assert start.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix])
    assert matplotlib.get_backend(auto_select=False) == before  # the user's figures are left alone
    if suffix == "png":
        image = pytest.importorskip("matplotlib.image").imread(target)
        assert (image[..., :3] < 0.5).any(axis=-1).sum() > 200  # something is drawn
        assert (image.shape[0] > image.shape[1]) == (rankdir == "TB")


def test_a_model_is_a_graph():
    pytest.importorskip("pydot")
    graph = model_to_dot(network(), show_shapes=True, show_layer_activations=True, show_trainable=True, show_dtype=True)
    texts = [node.get_label() for node in graph.get_nodes()]
    assert len(texts) == 3
    assert "start (InputLayer)" in texts[0]
    assert r"first (Dense)\nactivation: relu\n(None, 4) → (None, 5)\ndtype: float32\ntrainable: True" in texts[1]
    assert "inner (Sequential)" in texts[2]
    assert [(edge.get_source(), edge.get_destination()) for edge in graph.get_edges()] == [
        ("layer_0", "layer_1"), ("layer_1", "layer_2"),
    ]  # fmt: skip
    opened = model_to_dot(network(), expand_nested=True, show_layer_names=False)
    assert [node.get_label() for node in opened.get_nodes()] == ['"InputLayer"', '"Dense"', '"Dense"']
    functional = lamina.Model(inputs := lamina.Input((4,)), layers.Dense(2)(inputs))
    assert len(model_to_dot(functional).get_nodes()) == 2
    assert type(model_to_dot(functional, subgraph=True)).__name__ == "Cluster"


@pytest.mark.parametrize("draw", [plot_model, model_to_dot])
def test_what_cannot_be_drawn_is_refused(draw):
    with pytest.raises(TypeError, match="model must be a model"):
        draw(np.zeros(3))
    with pytest.raises(ValueError, match="must be built"):
        draw(lamina.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match="rankdir must be"):
        draw(network(), rankdir="XX")
    with pytest.raises(TypeError, match="unknown argument 'style'"):
        draw(network(), style=1)
