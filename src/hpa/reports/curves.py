"""Precision-recall and reliability curves: one drawing for the report and for the figure files."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpa.evaluation.report_data import Evaluation
from hpa.metrics.curves import precision_recall
from hpa.metrics.ranking import Ranking, rank_scores
from hpa.reports.shown_classes import describe_part, shortened, shown_classes
from hpa.reports.style import BLUE, DASHED, GREY, INK, ORANGE, flag_colours, house_style

METHODS = {  # calibration methods for readers
    "none": "uncalibrated",
    "temperature": "temperature scaling",
    "platt": "Platt scaling per class",
}
LIMITS = (-0.03, 1.03)


@house_style()
def plot_precision_recall(evaluation: Evaluation) -> Figure:
    """Draw the precision-recall curves of the classes on test in one figure."""
    curves, classes = precision_recall_curves(evaluation), evaluation.classes
    n_columns = min(7, len(curves))
    n_rows = -(-len(curves) // n_columns)
    size = max(4.5, 13 * n_columns / 7), max(3.2, 8.5 * n_rows / 4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid[len(curves) :]:
        axes.remove()
    for axes, (index, draw) in zip(grid, curves.items(), strict=False):
        row = classes.iloc[index]
        draw(axes)
        title = f"{shortened(row['label'], 30)}\nF1 {row['f1']:.2f}, n {row['support']:,}"
        axes.set_title(title, fontsize=8, pad=4)
    title = "Precision and recall on test; the dot is the threshold"
    if part := describe_part(len(classes)):
        title = f"{title}; {part}"
    figure.suptitle(title, x=0.01, ha="left")
    figure.supxlabel("recall", fontsize=9)
    figure.supylabel("precision", fontsize=9)
    return figure


@house_style()
def plot_calibration(evaluation: Evaluation) -> Figure:
    """Draw the reliability curves of all calibration methods on test in one figure."""
    errors = evaluation.calibration.set_index("method")["test_error"]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(errors), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (method, draw) in zip(panels, reliability_curves(evaluation).items(), strict=True):
        draw(axes)
        axes.set_title(f"{METHODS[method]}: error {errors[method]:.3f}", fontsize=10)
        axes.set_xlabel("predicted probability")
    panels[0].set_ylabel("observed fraction on test")
    return figure


@house_style()
def panel(draw: Callable[[Axes], None], names: tuple[str, str], *, size: float) -> Figure:
    """Draw one curve as a square figure without a title.

    Args:
        draw: the curve.
        names: of the horizontal and the vertical axis.
        size: width in inches.
    """
    figure = Figure(figsize=(size, size))
    margin, edge = 0.38 / size, 0.06 / size
    figure.subplots_adjust(left=margin, right=1 - edge, bottom=margin, top=1 - edge)
    axes = figure.add_subplot()
    draw(axes)
    axes.set_xlabel(names[0], fontsize=8, labelpad=1)
    axes.set_ylabel(names[1], fontsize=8, labelpad=1)
    return figure


def precision_recall_curves(evaluation: Evaluation) -> dict[int, Callable[[Axes], None]]:
    """Return one drawing function per class, by column; of many, those with most test images."""
    test, classes = evaluation.test, evaluation.classes
    ranking = rank_scores(test.y_true, test.y_prob)
    return {
        index: partial(
            _draw_precision_recall, ranking=ranking, index=index, row=classes.iloc[index]
        )
        for index in shown_classes(ranking.support).tolist()
    }


def reliability_curves(evaluation: Evaluation) -> dict[str, Callable[[Axes], None]]:
    """Return one drawing function per calibration method."""
    return {
        str(method): partial(_draw_reliability, bins=bins)
        for method, bins in evaluation.reliability.groupby("method", sort=False)
    }


def _draw_precision_recall(axes: Axes, ranking: Ranking, index: int, row: pd.Series) -> None:
    """Draw the curve and the chosen threshold of one class; say so if there is no curve."""
    _prepare(axes)
    if ranking.support[index] == 0:
        axes.text(0.5, 0.5, "no positives", ha="center", va="center", color=INK, fontsize=8)
        return
    (colour,) = flag_colours([row["flags"]])
    axes.plot(*precision_recall(ranking, index), color=colour, linewidth=1.4, zorder=2)
    if row["predicted"] > 0:
        axes.scatter(row["recall"], row["precision"], color=ORANGE, s=26, zorder=3, clip_on=False)
    else:
        axes.text(0.97, 0.9, "never predicted", ha="right", color=ORANGE, fontsize=8)


def _draw_reliability(axes: Axes, bins: pd.DataFrame) -> None:
    """Draw the observed fraction against the mean probability; larger dots hold more decisions."""
    _prepare(axes)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=DASHED)
    axes.plot(bins["predicted"], bins["observed"], color=BLUE, linewidth=1.2)
    sizes = 8 + 52 * np.log10(bins["n"]) / max(1.0, np.log10(bins["n"].max()))
    axes.scatter(bins["predicted"], bins["observed"], s=sizes, color=BLUE, zorder=3, clip_on=False)


def _prepare(axes: Axes) -> None:
    axes.set(xlim=LIMITS, ylim=LIMITS, xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.tick_params(length=0, labelsize=8)
    axes.grid(zorder=0)
