"""Figures of a study with axes in words, as Plotly figures that work offline and on a phone."""

import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from hpa.reports.style import BLUE, GREY, INK, LINE, ORANGE
from hpa.search.axes import (
    as_text,
    complete_trials,
    in_words,
    is_logarithmic,
    log_ticks,
    place,
    value_of,
    whole_numbers,
    wrapped,
)

MACRO_F1 = "macro F1, cross-fitted"
FONT = {"family": "system-ui, sans-serif", "size": 13, "color": INK}
DOT = {"color": BLUE, "size": 8}
DIAMOND = {"color": INK, "size": 13, "symbol": "diamond-open", "line": {"width": 2}}
STAR = {"color": ORANGE, "size": 13, "symbol": "star"}
CONFIG = {"displayModeBar": False, "responsive": True}


def as_html(figure: go.Figure) -> str:
    """Return a figure for a page that holds plotly.js."""
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG))


def plot_history(trials: Sequence[FrozenTrial], current: int | None) -> go.Figure:
    """Draw the value of each complete trial, and the best so far; `current` is marked."""
    complete = complete_trials(trials)
    numbers, values = [t.number for t in complete], [value_of(t) for t in complete]
    figure = _figure("trial", MACRO_F1)
    best = list(accumulate(values, max))
    line = {"color": ORANGE, "shape": "hv"}
    figure.add_scatter(x=numbers, y=best, name="best so far", line=line, mode="lines")
    figure.add_scatter(x=numbers, y=values, name="trial", marker=DOT, mode="markers")
    if current in numbers:
        value = values[numbers.index(current)]
        figure.add_scatter(
            x=[current], y=[value], name="current parameters", marker=DIAMOND, mode="markers"
        )
    figure.update_xaxes(**whole_numbers(numbers))
    return figure


def importances(study: optuna.Study) -> dict[str, float]:
    """Return the share of the variation in value that each parameter explains, largest first.

    Empty with too few trials, or if all have the same value.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
        except (RuntimeError, ValueError):
            return {}
    known = math.isfinite(total := sum(shares.values())) and total > 0
    return shares if known and len(complete_trials(study.trials)) > 1 else {}


def plot_importances(shares: Mapping[str, float]) -> go.Figure:
    """Draw the share of each parameter."""
    keys = list(shares)[::-1]
    figure = _figure("share of the variation", None, height=90 + 38 * len(keys))
    figure.add_bar(
        x=[shares[key] for key in keys],
        y=[wrapped(in_words(key)) for key in keys],
        orientation="h",
        marker_color=BLUE,
        showlegend=False,
        hovertemplate="%{y}: %{x:.0%}<extra></extra>",
    )
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", nticks=5)
    return figure


def plot_parameter(
    key: str, trials: Sequence[FrozenTrial], best: FrozenTrial, current: int | None
) -> go.Figure:
    """Draw value against one parameter, of the complete trials that have it."""
    complete = complete_trials(trials)
    having = [trial for trial in complete if key in trial.params]
    distribution = having[-1].distributions[key]
    scale = " (logarithmic)" if is_logarithmic(distribution) else ""
    figure = _figure(in_words(key) + scale, MACRO_F1, height=290)
    marked = (
        (DOT, [t for t in having if t.number not in (best.number, current)]),
        (DIAMOND, [t for t in having if t.number == current != best.number]),
        (STAR, [t for t in having if t.number == best.number]),
    )
    for marker, group in marked:
        figure.add_scatter(
            x=[place(trial.params[key], distribution) for trial in group],
            y=[value_of(trial) for trial in group],
            text=[f"trial {trial.number}" for trial in group],
            hovertemplate="%{text}: %{y:.4f}<extra></extra>",
            mode="markers",
            marker=marker,
            showlegend=False,
        )
    values = [value_of(trial) for trial in complete]
    margin = 0.1 * (max(values) - min(values)) or 0.01
    figure.update_yaxes(range=[min(values) - margin, max(values) + margin], nticks=6)
    figure.update_xaxes(**_ticks(distribution))
    return figure


def _ticks(distribution: BaseDistribution) -> dict[str, Any]:
    """Return settings of the axis of a parameter."""
    if isinstance(distribution, CategoricalDistribution):
        texts = [wrapped(as_text(choice).replace("_", " "), 10) for choice in distribution.choices]
        edges = [-0.5, len(texts) - 0.5]
        return {"tickvals": list(range(len(texts))), "ticktext": texts, "range": edges}
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if is_logarithmic(distribution):
        ticks = log_ticks(distribution.low, distribution.high)
        return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    return {"nticks": 5}


def plot_rounds(
    trials: Sequence[FrozenTrial], best: FrozenTrial, validate_every: int, n_steps: int
) -> go.Figure:
    """Draw macro F1 on val after each round of each trial."""
    figure = _figure("optimizer steps", "macro F1 on val, by two folds")
    kinds = {
        "pruned": ([t for t in trials if t.state is TrialState.PRUNED], GREY, 1),
        "complete": ([t for t in complete_trials(trials) if t.number != best.number], BLUE, 1),
        "best trial": ([best], ORANGE, 3),
    }
    for name, (group, colour, width) in kinds.items():
        for nth, trial in enumerate(group):
            rounds = sorted(trial.intermediate_values)
            figure.add_scatter(
                x=[min(each * validate_every, n_steps) for each in rounds],
                y=[trial.intermediate_values[each] for each in rounds],
                name=name,
                legendgroup=name,
                showlegend=nth == 0,
                text=f"trial {trial.number}",
                mode="lines+markers",
                line={"color": colour, "width": width},
            )
    figure.update_xaxes(rangemode="tozero", **whole_numbers([0, n_steps]))
    return figure


def _figure(x_title: str, y_title: str | None, *, height: int = 360) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="plotly_white",
        height=height,
        font=FONT,
        margin={"l": 10, "r": 20, "t": 40, "b": 10},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        dragmode=False,
        hovermode="closest",
    )
    axis = {"automargin": True, "linecolor": GREY, "gridcolor": LINE, "zeroline": False}
    figure.update_xaxes(title={"text": x_title, "standoff": 10, "font": FONT}, **axis)
    figure.update_yaxes(title={"text": y_title, "standoff": 8, "font": FONT}, **axis)
    return figure
