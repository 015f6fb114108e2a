"""search/report.html: Optuna's own plots of a study on one page that needs no network."""

import html
import warnings
from collections.abc import Callable, Mapping
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

from hpa.reports.html import page, section, table
from hpa.search.study import VALUE, Study

FEW = 2  # complete trials below which nothing can be compared

PLOTS: Mapping[str, tuple[Callable[..., Any], str]] = {
    "History": (plot_optimization_history, "Each trial's value, and the best so far."),
    "Importances": (
        plot_param_importances,
        "What share of the values' variation each parameter explains. Of few trials, a hint.",
    ),
    "Slices": (plot_slice, "Each parameter by itself; later trials are darker."),
    "Parallel coordinates": (plot_parallel_coordinate, "A line a trial; drag along an axis."),
    "Intermediate values": (
        plot_intermediate_values,
        "val/macro_f1 after each round; lines that end early were pruned.",
    ),
    "Timeline": (plot_timeline, "When each trial ran, and how it ended."),
}


def study_page(study: Study, verdict: str) -> str:
    """Return the page; `verdict` is text, its lines are kept."""
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in verdict.splitlines())
    library = f"<script>{plotly.offline.get_plotlyjs()}</script>"  # before all that needs it
    sections = [f"<section>{lines}</section>", library, *_plots(study.optuna), _trials(study)]
    return page(f"Study {study.name}", "".join(sections))


def _plots(study: optuna.Study) -> list[str]:
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len(complete) < FEW:
        return []
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few trials, which the page says by itself
        for title, (plot, note) in PLOTS.items():
            figure = plot(study)
            figure.update_layout(title=None, template="plotly_white", margin={"t": 30})
            content = figure.to_html(
                full_html=False, include_plotlyjs=False, config={"displaylogo": False}
            )
            found.append(section(title, note, f"<div class=wide>{content}</div>"))
    return found


def _trials(study: Study) -> str:
    trials = study.trials()
    keys = sorted({key for trial in trials for key in trial.params})
    rows = [
        [str(t.number), _ending(t), *(_cell(t.params.get(key, "")) for key in keys)]
        for t in sorted(trials, key=_rank)
    ]
    note = f"The best first, by {VALUE}; of pruned trials, val/macro_f1 where they ended."
    return section("Trials", note, table(["trial", "ended", *keys], rows, n_text=2))


def _rank(trial: FrozenTrial) -> tuple[bool, float]:
    value = trial.value if trial.state is TrialState.COMPLETE else None
    return value is None, -(value or 0.0)


def _ending(trial: FrozenTrial) -> str:
    if trial.value is not None:
        pruned = " pruned" if trial.state is TrialState.PRUNED else ""
        return f"{trial.value:.4f}{pruned}"
    if trial.state is not TrialState.FAIL:
        return trial.state.name.lower()
    return str(trial.user_attrs.get("failure", "stopped; a later trial goes on with it"))[:120]


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
