"""Report of a study, search/report.html: its result and figures on one page that opens offline."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import plotly
from optuna.trial import FrozenTrial, TrialState

from hpa.config.folders import SPLIT_DIR
from hpa.data.packed.assignment import read_assignment
from hpa.reports.html import render
from hpa.reports.run_facts import code_in_words, source_in_words
from hpa.search import figures
from hpa.search.axes import as_text, complete_trials, in_words
from hpa.search.confirmation import Confirmation
from hpa.search.figures import as_html
from hpa.search.parallel_coordinates import AXIS_PX, plot_parallel_coordinates, shared_keys
from hpa.search.space import current, read_space, trial_params
from hpa.search.study import Study
from hpa.tracking.lineage import lineage

FAILURE_LENGTH = 120


@dataclass(frozen=True)
class Section:
    """Figures of one subject.

    Attributes:
        title, note: text above the figures.
        figures: HTML of each.
        css: classes of their container.
        width: least width of a figure in pixels, which scrolls on a narrow page; 0 fits any.
    """

    title: str
    note: str
    figures: list[str]
    css: str = ""
    width: int = 0

    @property
    def id(self) -> str:
        """Anchor in the page."""
        return self.title.lower().replace(" ", "-")


def study_page(study: Study, confirmation: Confirmation) -> str:
    """Return the page."""
    best, searched = study.optuna.best_trial, list(read_space(study.params))
    sections = list(_sections(study, best, searched))
    anchors = {section.title: section.id for section in sections}
    return render(
        "study.html",
        title=f"Search {study.name}",
        facts=study_facts(study),
        names={"Result": "result", **anchors, "Trials": "trials"},
        confirmation=confirmation,
        comparison=confirmation.comparison,
        mean=np.mean,
        now=current(read_space(study.params), study.params),
        best=best,
        shown=lambda values, key: as_text(values[key]) if key in values else "not in effect",
        searched=searched,
        plotly_js=plotly.offline.get_plotlyjs(),
        sections=sections,
        trials=sorted(study.trials(), key=_rank),
        outcome=_outcome,
        as_text=as_text,
    )


def study_facts(study: Study) -> dict[str, str]:
    """Return what was searched, on which data, by which code."""
    params, trials = study.params, study.trials()
    counts = {
        "complete": sum(trial.state is TrialState.COMPLETE for trial in trials),
        "pruned": sum(trial.state is TrialState.PRUNED for trial in trials),
        "failed or interrupted": sum(trial.state is TrialState.FAIL for trial in trials),
    }
    splits = read_assignment(SPLIT_DIR, params.train.fold)["split"].value_counts()
    px, steps = params.pack.image_size, params.search.trial_steps or params.train.n_steps
    return {
        "Trials": (", ".join(f"{n} {name}" for name, n in counts.items() if n) or "none yet")
        + f"; each trains for {steps:,} steps of {params.train.batch_size} images",
        "Data": f"{source_in_words(params.fetch.source, params.fetch.sources)}; "
        f"{splits.get('train', 0):,} train and {splits.get('val', 0):,} val images of {px} × {px} "
        "pixels",
        "Value": "macro F1 on val, cross-fitted: each image is decided by thresholds that were "
        "fitted without it; test images take no part",
        "Code": code_in_words(lineage()),
        "Run": study.parent_run_id or "none",
        "Resume": f"python src/search.py --study_name {shlex.quote(study.name)} "
        f"--n_trials {study.n_trials}",
    }


def _sections(study: Study, best: FrozenTrial, searched: Sequence[str]) -> Iterator[Section]:
    trials = study.trials()
    complete = complete_trials(trials)
    now = _number_of_current(study, complete)
    history = figures.plot_history(complete, now)
    yield Section("History", "Value of each complete trial.", [as_html(history)])
    if shares := figures.importances(study.optuna):
        note = "Of the parameters that every trial has. With few trials, a hint."
        yield Section("Importances", note, [as_html(figures.plot_importances(shares))])
    keys = [key for key in searched if any(key in trial.params for trial in complete)]
    note = "Complete trials by value. Star: the best trial; diamond: the current parameters."
    plots = [as_html(figures.plot_parameter(key, complete, best, now)) for key in keys]
    yield Section("Parameters", note, plots, "slices")
    if axes := shared_keys(complete, list(shares)):
        note = "One line per complete trial, darker with more macro F1. Drag on an axis to select."
        if left_out := [in_words(key) for key in keys if key not in axes]:
            note += (
                f" Not in effect in all, equal in all, or less important: {', '.join(left_out)}."
            )
        plot = as_html(plot_parallel_coordinates(complete, axes))
        width = (len(axes) + 2) * AXIS_PX
        yield Section("Parallel coordinates", note, [plot], "wide axes", width)
    if any(trial.intermediate_values for trial in trials):
        length = trial_params(study.params, {}).train
        note = "A quick estimate on val after each round. Pruned trials end early."
        plot = figures.plot_rounds(trials, best, length.validate_every, length.n_steps)
        yield Section("Rounds", note, [as_html(plot)])


def _number_of_current(study: Study, complete: Sequence[FrozenTrial]) -> int | None:
    """Return the number of the trial with the current parameters."""
    wanted = current(read_space(study.params), study.params)
    return next((trial.number for trial in complete if trial.params == wanted), None)


def _rank(trial: FrozenTrial) -> tuple[bool, float, int]:
    """Sort complete trials by value, best first, before all others."""
    value = trial.value if trial.state is TrialState.COMPLETE else None
    return value is None, -(value or 0.0), trial.number


def _outcome(trial: FrozenTrial) -> str:
    twin = trial.user_attrs.get("same_as")
    note = "" if twin is None else f", as trial {twin}"
    if trial.state is TrialState.COMPLETE:
        return f"{trial.value:.4f}{note}"
    if trial.state is TrialState.PRUNED:
        return f"pruned{note}"
    if trial.state is not TrialState.FAIL:
        return trial.state.name.lower()
    failure = trial.user_attrs.get("failure", "stopped; resumed by a later trial")
    return str(failure).splitlines()[0][:FAILURE_LENGTH]
