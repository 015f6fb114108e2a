"""Figures for MLflow and DVC, tables as files, and a summary in plain text.

Figures are matplotlib `Figure` objects (no pyplot, so no global state and no window); the same
evaluation gives the same PNG bytes.
"""

import textwrap
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hpa.evaluation.evaluation import Evaluation
from hpa.labels import LABELS
from hpa.metrics.counts import check_indicators, check_same_shape
from hpa.metrics.curves import precision_recall
from hpa.metrics.ranking import Ranking, rank_scores
from hpa.system.files import atomic_path
from hpa.thresholds.fitting import FEW_POSITIVES

BLUE, ORANGE, GREY, INK = "#2a6f97", "#e07a1f", "#b8c0c8", "#26323c"
FAINT = "#93a0ac"
STYLE: dict[str, Any] = {
    "figure.dpi": 120,
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#e6eaee",
    "legend.frameon": False,
}


house_style = partial(style.context, ["default", STYLE])
"""Draw in the project's style whatever the user's matplotlibrc says."""


@house_style()
def plot_f1_by_class(classes: pd.DataFrame, macro_f1: float) -> Figure:
    """Draw F1 of each class, best on top, with its support and what a constant would score."""
    table = classes.sort_values(["f1", "support"], kind="stable").reset_index(drop=True)
    figure = Figure(figsize=(9, 8.5), layout="constrained")
    axes = figure.add_subplot()
    rows = np.arange(len(table))
    axes.barh(rows, table["f1"], color=_evidence_colours(table), height=0.72, zorder=2)
    axes.scatter(
        table["constant_f1"], rows, marker="|", s=110, linewidths=2.2, color=ORANGE, zorder=3
    )
    for row, (score, floor, n) in enumerate(
        zip(table["f1"], table["constant_f1"], table["support"], strict=True)
    ):
        note = axes.text(
            max(score, floor) + 0.012, row, f"{score:.2f}  ({n:,})", va="center", size=8
        )
        note.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    axes.axvline(macro_f1, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.set_yticks(rows, table["label"])
    axes.set(
        xlim=(0, 1.1),
        ylim=(-0.7, len(table) - 0.3),
        xlabel="F1 on test (in brackets: images that carry the class)",
    )
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_title(f"F1 by class: macro F1 {macro_f1:.3f}")
    axes.tick_params(length=0)
    axes.grid(axis="x", zorder=0)
    axes.legend(
        handles=[
            _patch(BLUE, "class"),
            _patch(GREY, "class with little evidence (note in classes.csv)"),
            Line2D([], [], color=ORANGE, marker="|", ls="", ms=11, mew=2.2, label="best constant"),
            Line2D([], [], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="macro F1"),
        ],
        loc="lower right",
    )
    return figure


@house_style()
def plot_false_predictions(y_true: np.ndarray, y_pred: np.ndarray) -> Figure:
    """Draw of the images that carry label i (row) the share given label j (column) falsely."""
    shares, support = false_prediction_shares(y_true, y_pred)
    figure = Figure(figsize=(11, 10), layout="constrained")
    axes = figure.add_subplot()
    shown = np.ma.masked_where(np.eye(len(LABELS), dtype=bool) | (support == 0)[:, None], shares)
    ceiling = 0.5  # the same in every run, so that figures of two experiments compare
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=ceiling)
    axes.set_facecolor("#eef1f4")
    for row, column in np.argwhere(shown.filled(0) >= 0.1):
        share = shares[row, column]
        colour = "white" if share > 0.6 * ceiling else INK
        axes.text(
            column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=colour
        )
    names = [f"{label} ({n:,})" for label, n in zip(LABELS, support, strict=True)]
    axes.set_yticks(range(len(LABELS)), names)
    for name, n in zip(axes.get_yticklabels(), support, strict=True):
        name.set_color(INK if n >= FEW_POSITIVES else FAINT)
    axes.set_xticks(range(len(LABELS)), LABELS, rotation=60, ha="right", rotation_mode="anchor")
    axes.set(ylabel="label truly there (images)", xlabel="label falsely predicted")
    axes.set_title("What is seen where it is not: false labels in % of a row's images")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.5, extend="max")
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    bar.outline.set_visible(False)
    return figure


@house_style()
def plot_thresholds(classes: pd.DataFrame) -> Figure:
    """Draw each class's threshold against the positives it was fitted on, rarest on top."""
    table = classes.sort_values("val_support", ascending=False, kind="stable").reset_index(
        drop=True
    )
    figure = Figure(figsize=(9, 8.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    rows, colours = np.arange(len(table)), _evidence_colours(table)
    left.hlines(rows, 0.5, table["threshold"], color=colours, linewidth=2, zorder=2)
    left.scatter(table["threshold"], rows, color=colours, s=42, zorder=3)
    left.axvline(0.5, color=INK, linewidth=1)
    left.set(xlim=(-0.02, 1.02), xlabel="threshold", ylim=(-0.7, len(table) - 0.3))
    left.set_yticks(rows, table["label"])
    left.set_title("Threshold by class, and the evidence it rests on")
    ends = np.maximum(table["val_support"], 0.5)
    right.barh(rows, ends - 0.5, left=0.5, color=colours, height=0.72)
    for row, (end, n) in enumerate(zip(ends, table["val_support"], strict=True)):
        right.text(1.12 * end, row, f"{n:,}", va="center", fontsize=8)
    right.set_xscale("log")
    right.xaxis.set_major_formatter("{x:,.0f}")
    right.set(xlim=(0.5, 4 * max(10, ends.max())), xlabel="positives in val (logarithmic)")
    for axes in (left, right):
        axes.tick_params(length=0, which="both")
        axes.grid(axis="x", zorder=0)
        axes.set_axisbelow(True)
    return figure


@house_style()
def plot_precision_recall(evaluation: Evaluation) -> Figure:
    """Draw each class's precision against recall on test, with the point its threshold chose."""
    ranking = rank_scores(evaluation.test.y_true, evaluation.test.y_prob)
    figure = Figure(figsize=(13, 8.5), layout="constrained")
    grid = figure.subplots(4, 7, sharex=True, sharey=True)
    for index, axes in enumerate(grid.flat):
        _draw_precision_recall(axes, ranking, evaluation.classes, index)
    grid[0, 0].set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    figure.suptitle(
        "Precision against recall on test; the dot is the chosen threshold", x=0.01, ha="left"
    )
    figure.supxlabel("recall", fontsize=9)
    figure.supylabel("precision", fontsize=9)
    return figure


@house_style()
def plot_calibration(evaluation: Evaluation) -> Figure:
    """Draw observed share against probability on test, as the network says and calibrated."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    methods = evaluation.reliability.groupby("method", sort=False)
    for axes, (method, bins) in zip(
        figure.subplots(1, len(methods), sharex=True, sharey=True, squeeze=False)[0],
        methods,
        strict=True,
    ):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(bins["predicted"], bins["observed"], color=BLUE, marker="o", markersize=4)
        row = evaluation.calibration.query("method == @method").iloc[0]
        axes.set_title(f"{method}: error {row['test_error']:.3f}", fontsize=10)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="probability")
        axes.grid()
        axes.tick_params(length=0)
    figure.axes[0].set_ylabel("share that is true, on test")
    return figure


def write_figures(evaluation: Evaluation, figures_dir: Path) -> list[Path]:
    """Write the figures as PNG, each whole or not at all, and return their paths."""
    test, classes = evaluation.test, evaluation.classes
    figures: dict[str, Callable[[], Figure]] = {
        "f1_by_class": lambda: plot_f1_by_class(classes, evaluation.metrics["test/macro_f1"]),
        "false_predictions": lambda: plot_false_predictions(test.y_true, test.y_pred),
        "thresholds": lambda: plot_thresholds(classes),
        "precision_recall": lambda: plot_precision_recall(evaluation),
        "calibration": lambda: plot_calibration(evaluation),
    }
    paths = [figures_dir / f"{name}.png" for name in figures]
    for path, draw in zip(paths, figures.values(), strict=True):
        with house_style(), atomic_path(path) as temporary:
            draw().savefig(temporary, format="png", metadata={"Software": None})
    return paths


def write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write each table as `<name>.csv`, whole or not at all; NaN is an empty cell."""
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6f")


def summary(evaluation: Evaluation) -> str:
    """Return what a person should know when the pipeline ends."""
    metrics, classes = evaluation.metrics, evaluation.classes
    score, constant = metrics["test/macro_f1"], metrics["test/constant_macro_f1"]
    ratio = f"{score / constant:.1f} times it" if constant > 0 else "no ratio"
    lines = [
        f"macro F1 on {len(evaluation.test.ids):,} test images: {score:.3f} "
        f"(95 %: {metrics['test/macro_f1_low']:.3f} to {metrics['test/macro_f1_high']:.3f})",
        f"  best constant answer:    {constant:.3f} ({ratio})",
        f"  every threshold at 0.5:  {metrics['test/macro_f1_at_half']:.3f}",
        f"  val, thresholds' fit set: {metrics['val/macro_f1']:.3f} (optimistic); "
        f"cross-fitted: {metrics['val/macro_f1_cross_fitted']:.3f}",
        f"micro F1: {metrics['test/micro_f1']:.3f}, "
        f"without any label: {metrics['test/empty_fraction']:.1%} of the images",
    ]
    doubtful = evaluation.flagged
    if len(doubtful):
        lines.append(f"too little evidence to trust {len(doubtful)} of {len(classes)} classes:")
        for note, rows in doubtful.groupby("note", sort=False):
            lines.append(_indented(f"{note}: {', '.join(rows['label'])}"))
    lines.append("open reports/report.html; numbers: reports/metrics.json, reports/classes.csv")
    return "\n".join(lines)


def false_prediction_shares(
    y_true: np.ndarray, y_pred: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return shares float64[C,C] and support int64[C].

    Row i, column j: of the images that carry i, the share predicted j without carrying j. The
    diagonal is 0 by definition, and so is the row of a label that no image carries.
    """
    check_indicators("y_true", y_true)
    check_indicators("y_pred", y_pred)
    check_same_shape("y_true", y_true, "y_pred", y_pred)
    truth, invented = y_true.astype(np.float64), (y_pred > y_true).astype(np.float64)
    support = y_true.sum(axis=0, dtype=np.int64)
    return truth.T @ invented / np.maximum(support, 1)[:, None], support


def _draw_precision_recall(axes: Axes, ranking: Ranking, classes: pd.DataFrame, index: int) -> None:
    """Draw one class; a curve without a positive does not exist and is said to be missing."""
    row, support = classes.iloc[index], int(ranking.support[index])
    axes.set_title(f"{row['label']}\nF1 {row['f1']:.2f}, n {support:,}", fontsize=8, pad=4)
    axes.tick_params(length=0, labelsize=8)
    axes.grid(zorder=0)
    if support == 0:
        axes.text(0.5, 0.5, "no positives", ha="center", va="center", color=INK, fontsize=8)
        return
    colour = GREY if row["note"] else BLUE
    axes.plot(*precision_recall(ranking, index), color=colour, linewidth=1.4, zorder=2)
    if row["predicted"] > 0:
        axes.scatter(row["recall"], row["precision"], color=ORANGE, s=26, zorder=3, clip_on=False)
    else:
        axes.text(0.97, 0.9, "never predicted", ha="right", color=ORANGE, fontsize=8)


def _evidence_colours(table: pd.DataFrame) -> list[str]:
    """Grey for a class whose row carries a doubt, blue for the others."""
    return [GREY if note else BLUE for note in table["note"]]


def _indented(text: str) -> str:
    return textwrap.fill(text, 96, initial_indent="  ", subsequent_indent="      ")


def _patch(colour: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, linewidth=7, label=label)
