"""F1 and thresholds of all classes as bar charts."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hpa.evaluation.headline_metrics import f1_name
from hpa.reports.shown_classes import describe_part, shortened, shown_classes
from hpa.reports.style import BLUE, DASHED, GREY, INK, ORANGE, flag_colours, height_of, house_style

SHORT = 12  # rows of a chart too low for a legend inside


@house_style()
def plot_f1_by_class(classes: pd.DataFrame, macro_f1: float) -> Figure:
    """Draw F1 and support of each class, best on top, beside the best constant prediction."""
    table = _shown(classes).sort_values(["f1", "support"], kind="stable", ignore_index=True)
    figure = Figure(figsize=(9, height_of(8.5, len(table))), layout="constrained")
    axes = figure.add_subplot()
    rows, constant, score = table.index, table["constant_f1"], f1_name(len(classes))
    axes.barh(rows, table["f1"], color=flag_colours(list(table["flags"])), height=0.72, zorder=2)
    axes.scatter(constant, rows, marker="|", s=110, linewidths=2.2, color=ORANGE, zorder=3)
    axes.axvline(macro_f1, color=INK, linewidth=1, linestyle=DASHED, zorder=1)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    for row, (f1, floor, n) in enumerate(zip(table["f1"], constant, table["support"], strict=True)):
        text = f"{f1:.2f}  ({n:,})"
        axes.text(max(f1, floor) + 0.012, row, text, va="center", size=8, bbox=box)
    _label_rows(axes, table)
    axes.set(xlim=(0, 1.1), xlabel="F1 on test (in brackets: images with the class)")
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_title(_titled(f"F1 by class: {score} {macro_f1:.3f}", classes))
    if len(table) < SHORT:  # no room beside the bars
        figure.legend(handles=_f1_legend(score), loc="outside lower left", ncols=4)
    else:
        axes.legend(handles=_f1_legend(score), loc="lower right")
    return figure


@house_style()
def plot_thresholds(classes: pd.DataFrame) -> Figure:
    """Draw the threshold of each class and the positives it was fitted to, rarest on top."""
    table = _shown(classes).sort_values(
        "val_support", ascending=False, kind="stable", ignore_index=True
    )
    figure = Figure(figsize=(9, height_of(8.5, len(table))), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    rows, colours = table.index, flag_colours(list(table["flags"]))
    left.hlines(rows, 0.5, table["threshold"], color=colours, linewidth=2, zorder=2)
    left.scatter(table["threshold"], rows, color=colours, s=42, zorder=3)
    left.axvline(0.5, color=INK, linewidth=1)
    left.set(xlim=(-0.02, 1.02), xlabel="threshold")
    left.set_title(_titled("Threshold and validation images of each class", classes))
    ends = np.maximum(table["val_support"], 0.5)
    right.barh(rows, ends - 0.5, left=0.5, color=colours, height=0.72)
    for row, (end, n) in enumerate(zip(ends, table["val_support"], strict=True)):
        right.text(1.12 * end, row, f"{n:,}", va="center", fontsize=8)
    right.set(xscale="log", xlim=(0.5, 4 * max(10, ends.max())), xlabel="positives in val (log)")
    right.xaxis.set_major_formatter("{x:,.0f}")
    for axes in (left, right):
        _label_rows(axes, table)
    return figure


def _shown(classes: pd.DataFrame) -> pd.DataFrame:
    return classes.iloc[shown_classes(classes["support"].to_numpy())]


def _titled(title: str, classes: pd.DataFrame) -> str:
    part = describe_part(len(classes))
    return f"{title}\n{part}" if part else title


def _label_rows(axes: Axes, table: pd.DataFrame) -> None:
    axes.set_yticks(table.index, [shortened(name) for name in table["label"]])
    axes.set_ylim(-0.7, len(table) - 0.3)
    axes.tick_params(length=0, which="both")
    axes.grid(axis="x", zorder=0)
    axes.set_axisbelow(True)


def _f1_legend(score: str) -> list[Line2D]:
    return [
        Line2D([], [], color=BLUE, linewidth=7, label="class"),
        Line2D([], [], color=GREY, linewidth=7, label="class with a quality flag"),
        Line2D([], [], color=ORANGE, marker="|", ls="", ms=11, mew=2.2, label="best constant"),
        Line2D([], [], color=INK, linewidth=1, linestyle=DASHED, label=score),
    ]
