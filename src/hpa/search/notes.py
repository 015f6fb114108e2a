"""Note on a study, which Optuna's dashboard shows: what it is, its runs, how to resume it."""

from collections.abc import Mapping

from optuna_dashboard import get_note, save_note

from hpa.search.space import flat_space, range_in_words
from hpa.search.study import Study
from hpa.tracking.mlflow_store import PENDING
from hpa.tracking.run_place import run_page

WRITTEN = "note"
"""User attribute: the note as written last, to tell it from one that a user has edited."""


def write_note(study: Study, facts: Mapping[str, str], result: str = "") -> None:
    """Write the note, unless a user has edited it; needs no running dashboard."""
    body = note(study, facts, result)
    if get_note(study.optuna) in ("", study.optuna.user_attrs.get(WRITTEN)):
        save_note(study.optuna, body)
        study.optuna.set_user_attr(WRITTEN, body)


def note(study: Study, facts: Mapping[str, str], result: str) -> str:
    """Return the note as Markdown."""
    page = study.parent_run_id and run_page(study.parent_run_id)
    lines = [f"# Search {study.name}", ""]
    lines += [f"- **{term}**: {text}" for term, text in facts.items() if term != "Resume"]
    lines += [f"- **Resume**: `{facts['Resume']}`"]
    if page:
        lines += [f"- **MLflow**: [run of the search]({page}), after `make ui`"]
    lines += ["", "| searched | range |", "|---|---|"]
    space = flat_space(study.params.search.space)
    lines += [f"| `{key}` | {range_in_words(stated)} |" for key, stated in space.items()]
    if page:
        base = page.rpartition("/")[0]
        runs = {trial.number: trial.user_attrs.get("run_id", PENDING) for trial in study.trials()}
        links = [
            f"[{number}]({base}/{run})"
            for number, run in runs.items()
            if not run.startswith(PENDING)  # it has no page yet
        ]
        lines += ["", f"Runs of the trials: {', '.join(links)}"] if links else []
    if result:
        lines += ["", "```", result, "```"]
    return "\n".join(lines)
