"""Parallel coordinates of a study: a line per trial through its value and parameters."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from hpa.reports.style import BLUE
from hpa.search.axes import (
    as_text,
    complete_trials,
    in_words,
    is_logarithmic,
    log_ticks,
    place,
    value_of,
    wrapped,
)
from hpa.search.figures import FONT, MACRO_F1

AXIS_PX = 128
"""Width of an axis, so that names and values beside it fit."""
LABEL_LETTERS, CHOICE_LETTERS = 15, 17
MAX_AXES = 9


def plot_parallel_coordinates(trials: Sequence[FrozenTrial], keys: Sequence[str]) -> go.Figure:
    """Draw a line per complete trial through its value and these parameters, which all have."""
    complete = complete_trials(trials)
    values = [value_of(trial) for trial in complete]
    colours = [[0, "#c3ccd4"], [1, BLUE]]
    figure = go.Figure(
        go.Parcoords(
            line={"color": values, "colorscale": colours},
            dimensions=[
                {"label": wrapped(MACRO_F1, LABEL_LETTERS), "values": values},
                *(_dimension(key, complete) for key in keys),
            ],
            rangefont={"color": "rgba(0,0,0,0)", "size": 1},
            labelside="bottom",  # where they grow away from their axis
            labelfont={"size": 12},
            tickfont={"size": 12},
        )
    )
    margin = {"l": AXIS_PX // 2, "r": AXIS_PX // 2, "t": 20, "b": 100}
    figure.update_layout(height=430, margin=margin, font=FONT, paper_bgcolor="white")
    return figure


def shared_keys(trials: Iterable[FrozenTrial], order: Sequence[str]) -> list[str]:
    """Return parameters that all complete trials have and that vary, in an order, others last."""
    complete = complete_trials(trials)
    keys = [key for key in complete[0].params if all(key in trial.params for trial in complete)]
    varied = [key for key in keys if len({as_text(t.params[key]) for t in complete}) > 1]
    rank = {key: place for place, key in enumerate(order)}
    return sorted(varied, key=lambda key: rank.get(key, len(rank)))[:MAX_AXES]


def _dimension(key: str, complete: Sequence[FrozenTrial]) -> dict[str, Any]:
    """Return the axis of a parameter, which shows its whole range."""
    distribution = complete[-1].distributions[key]
    values = [place(trial.params[key], distribution) for trial in complete]
    axis = {"label": wrapped(in_words(key), LABEL_LETTERS), "values": values}
    if isinstance(distribution, CategoricalDistribution):
        texts = [as_text(choice).replace("_", " ") for choice in distribution.choices]
        short = [textwrap.shorten(text, CHOICE_LETTERS, placeholder="…") for text in texts]
        places = list(range(len(texts)))
        return axis | {"tickvals": places, "ticktext": short, "range": [0, places[-1]]}
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = min(distribution.low, *values), max(distribution.high, *values)
    if not is_logarithmic(distribution):
        return axis | {"range": [low, high]}
    ticks = log_ticks(low, high)
    return {
        "label": f"{axis['label']}<br>(logarithmic)",
        "values": [math.log10(value) for value in values],
        "range": [math.log10(low), math.log10(high)],
        "tickvals": [math.log10(tick) for tick in ticks],
        "ticktext": [f"{tick:g}" for tick in ticks],
    }
