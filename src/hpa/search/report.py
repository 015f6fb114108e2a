"""Report of a study, search/report.html: Optuna's plots on one page that opens offline."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import optuna
import plotly
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import (
    plot_intermediate_values,
    plot_optimization_history,
    plot_parallel_coordinate,
    plot_param_importances,
    plot_slice,
    plot_timeline,
)

from hpa.reports.html import render
from hpa.search.study import VALUE, Study

MIN_COMPLETE = 2  # trials needed for any plot

PLOTS: Mapping[str, tuple[Callable[..., Any], str]] = {
    "History": (plot_optimization_history, "Value of each trial, and the best so far."),
    "Importances": (
        plot_param_importances,
        "Share of the variation in value that each parameter explains. With few trials, a hint.",
    ),
    "Slices": (plot_slice, "Value against each parameter; later trials are darker."),
    "Parallel coordinates": (
        plot_parallel_coordinate,
        "One line per trial; drag along an axis to select trials.",
    ),
    "Intermediate values": (
        plot_intermediate_values,
        "val/macro_f1 after each round; lines that end early are pruned trials.",
    ),
    "Timeline": (plot_timeline, "Start and end of each trial, coloured by its state."),
}


def study_page(study: Study, verdict: str) -> str:
    """Return the page; `verdict` is text with one paragraph per line."""
    trials = sorted(study.trials(), key=_rank)
    return render(
        "study.html",
        title=f"Study {study.name}",
        verdict=verdict,
        plotly_js=plotly.offline.get_plotlyjs(),
        plots=list(_plots(study.optuna)),
        parameters=sorted({key for trial in trials for key in trial.params}),
        trials=trials,
        outcome=_outcome,
        cell=_cell,
        VALUE=VALUE,
    )


def _plots(study: optuna.Study) -> Iterator[tuple[str, str, str]]:
    """Yield title, note and HTML of each plot; none before two trials are complete."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len(complete) < MIN_COMPLETE:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about few trials, which the page says itself
        for title, (plot, note) in PLOTS.items():
            figure = plot(study)
            figure.update_layout(title=None, template="plotly_white", margin={"t": 30})
            content = figure.to_html(
                full_html=False, include_plotlyjs=False, config={"displaylogo": False}
            )
            yield title, note, content


def _rank(trial: FrozenTrial) -> tuple[bool, float]:
    """Sort complete trials by value, best first, before all others."""
    value = trial.value if trial.state is TrialState.COMPLETE else None
    return value is None, -(value or 0.0)


def _outcome(trial: FrozenTrial) -> str:
    if trial.value is not None:
        pruned = " pruned" if trial.state is TrialState.PRUNED else ""
        twin = trial.user_attrs.get("same_as")
        return f"{trial.value:.4f}{pruned}{'' if twin is None else f', as trial {twin}'}"
    if trial.state is not TrialState.FAIL:
        return trial.state.name.lower()
    return str(trial.user_attrs.get("failure", "stopped; resumed by a later trial"))[:120]


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
