"""Loss and macro F1 of a training after each round: one drawing for the report and for figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hpa.reports.style import BLUE, DASHED, GREY, INK, ORANGE, PLUM, house_style

LOSSES = {"train/loss": ("train", "-"), "val/loss": ("val", DASHED)}
SCORES = {
    "val/macro_f1": ("val, cross-fitted thresholds", "-"),
    "val/macro_f1_optimistic": ("val, thresholds fitted to the same images", DASHED),
}
CIRCLED = ("val/loss", "val/macro_f1")
COLOURS = (BLUE, ORANGE, PLUM, INK, GREY)


@dataclass(frozen=True)
class History:
    """Rounds of one training.

    Attributes:
        name: of its network.
        columns: those of history.csv; None where a round has no value.
        best_by: the val metric whose best round was kept, such as "loss"; "" if unknown.
    """

    name: str
    columns: Mapping[str, Sequence[float | None]]
    best_by: str

    @classmethod
    def of(cls, name: str, provenance: Mapping[str, Any]) -> "History":
        """Read the history in a provenance; without rounds if an earlier version wrote it."""
        best_by = provenance.get("params", {}).get("train.best_by", "")
        return cls(name, provenance.get("history") or {}, str(best_by))

    def __bool__(self) -> bool:
        return bool(self.columns.get("step"))

    def values(self, column: str) -> np.ndarray:
        """Return a column as float64; NaN where there is no value."""
        empty = [None] * len(self.columns["step"])
        return np.array(self.columns.get(column, empty), np.float64)

    @property
    def kept(self) -> int | None:
        """Number of the round whose weights were kept; None if unknown."""
        values = self.values(f"val/{self.best_by}")
        if not np.isfinite(values).any():
            return None
        return int(np.nanargmin(values) if self.best_by == "loss" else np.nanargmax(values))


@house_style()
def plot_losses(histories: Sequence[History]) -> Figure:
    """Draw the loss on train and val after each round, one colour per network."""
    return _plot(histories, LOSSES, title="Loss")


@house_style()
def plot_macro_f1(histories: Sequence[History]) -> Figure:
    """Draw macro F1 on val after each round, one colour per network."""
    return _plot(histories, SCORES, title="Macro F1")


def _plot(histories: Sequence[History], lines: Mapping[str, tuple[str, Any]], title: str) -> Figure:
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    coloured = list(zip(histories, cycle(COLOURS), strict=False))
    for history, colour in coloured:
        _draw(axes, history, lines, colour)
    axes.set_title(title)
    axes.set(xlabel="training step", ylim=(0, None), xlim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(zorder=0)
    axes.tick_params(length=0)
    kinds = [(label, dashes, INK) for label, dashes in lines.values()]
    names = [(history.name, "-", colour) for history, colour in coloured if history.name]
    figure.legend(
        handles=[Line2D([], [], label=n, ls=ls, color=c, lw=1.6) for n, ls, c in kinds + names],
        loc="outside lower left",
        ncols=2,
        fontsize=8,
    )
    return figure


def _draw(axes: Axes, history: History, lines: Mapping[str, tuple[str, Any]], colour: str) -> None:
    steps, kept = history.values("step"), history.kept
    for column, (_, dashes) in lines.items():
        values = history.values(column)
        axes.plot(steps, values, "o", color=colour, ls=dashes, lw=1.6, ms=3.5, clip_on=False)
        if kept is not None and column in CIRCLED:
            place = steps[kept], values[kept]
            axes.scatter(*place, s=90, facecolor="none", edgecolor=INK, zorder=3, clip_on=False)
