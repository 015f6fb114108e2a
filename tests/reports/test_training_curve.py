"""The curves of a training."""

import numpy as np
import pytest

from hpa.reports.training_curve import History, plot_losses, plot_macro_f1

COLUMNS = {
    "step": [10, 20, 30],
    "train/loss": [0.9, 0.5, 0.3],
    "val/loss": [0.8, 0.4, 0.6],
    "val/macro_f1": [0.1, None, 0.3],
    "val/macro_f1_optimistic": [0.2, 0.3, 0.4],
}


def test_the_curves_show_each_round_and_circle_the_one_that_was_kept() -> None:
    (axes,) = plot_losses([History("", COLUMNS, "loss")]).axes
    train, val = (line.get_xydata() for line in axes.lines)
    np.testing.assert_array_equal(train, [(10, 0.9), (20, 0.5), (30, 0.3)])
    np.testing.assert_array_equal(val, [(10, 0.8), (20, 0.4), (30, 0.6)])
    (circle,) = axes.collections
    np.testing.assert_array_equal(circle.get_offsets(), [(20, 0.4)])
    (scores,) = plot_macro_f1([History("", COLUMNS, "macro_f1")]).axes
    np.testing.assert_array_equal(scores.collections[0].get_offsets(), [(30, 0.3)])
    assert scores.get_xlabel() == "training step"
    assert scores.get_title(loc="left") == "Macro F1"


@pytest.mark.parametrize("n_networks", [2, 7])
def test_several_networks_are_named_in_the_legend(n_networks: int) -> None:
    figure = plot_losses([History(f"net{n}", COLUMNS, "") for n in range(n_networks)])
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["train", "val", *(f"net{n}" for n in range(n_networks))]
    assert not figure.axes[0].collections  # which round was kept is unknown


def test_a_history_of_an_earlier_version_lacks_columns_but_not_the_curve() -> None:
    (axes,) = plot_macro_f1([History("", {"step": [1], "val/loss": [0.5]}, "macro_f1")]).axes
    assert np.isnan(np.asarray(axes.lines[0].get_ydata(), float)).all()
    assert not History("", {}, "loss")
