"""Name and description of a run, as a person reads them in MLflow."""

from typing import Any

from hpa.config.effects import has_effect
from hpa.config.params import Params, short_key
from hpa.tracking.lineage import NO_COMMIT

MAX_NAME = 120  # characters
RESULT = "**Result:** "
"""Beginning of a description whose run has a result."""
IMAGES = {
    "synthetic": "simulated images",
    "kaggle": "the competition's images",
    "hpa": "images of the Human Protein Atlas",
    "local": "own images",
    "several": "images of several sources",
}
REPEAT = {
    "search": "Result: the command in `search/best.yaml` among the artifacts. Resume the study: "
    "`python src/search.py`",
    "folds": "Repeat the runs of the folds, nested in this one: `python src/reproduce.py RUN`. "
    "Resume it: `python src/folds.py`",
    "trial": "Repeat it as a run of its own: `dvc exp run -S KEY=VALUE …` with all that differs",
}
"""Ways to repeat the stages that `src/reproduce.py` refuses."""


def run_name(differences: dict[str, Any], lineage: dict[str, str]) -> str:
    """Name what differs from the committed parameters, as on the command line."""
    if differences:
        words = (
            f"{short_key(key)}={f'{value:g}' if isinstance(value, float) else value}"
            for key, value in differences.items()
        )
        return " ".join(words)[:MAX_NAME]
    commit = lineage["git.commit"]
    if commit.startswith(NO_COMMIT):
        return f"code {commit.removeprefix(NO_COMMIT)[:7]} without a commit"
    return f"as committed in {commit[:7]}"


def description(
    stage: str, params: Params, differences: dict[str, Any], lineage: dict[str, str]
) -> str:
    """Describe a run in Markdown, with RUN_ID in place of its id."""
    lines = [f"- `{key}`: {value}" for key, value in differences.items()]
    no_commit = lineage["git.commit"].startswith(NO_COMMIT)
    base = "params.yaml" if no_commit else "the committed params.yaml"
    lines = [_training(params), "", *([f"Differs from {base} in", *lines, ""] if lines else [])]
    changed = ", with the changes of `code.diff`" if lineage["git.dirty"] == "true" else ""
    kind = "without Git, its digest" if no_commit else "commit"
    lines += [f"Code: {kind} `{lineage['git.commit']}`{changed}"]
    if name := lineage.get("dvc.experiment"):
        lines += ["", f"DVC experiment: `dvc exp apply {name}`"]
    repeat = "Repeat it, in a clone of its own: `python src/reproduce.py RUN_ID`"
    lines += ["", REPEAT.get(stage, repeat)]
    return "\n".join(lines)


def with_result(text: str, result: str) -> str:
    """Begin a description with the run's result, in place of an earlier one."""
    rest = text.partition("\n\n")[2] if text.startswith(RESULT) else text
    return f"{RESULT}{result}\n\n{rest}"


def _training(params: Params) -> str:
    """Return the sentence that says what is trained, how and on what."""
    values = params.flat()
    loss = [
        f"{key.partition('.')[2].replace('_', ' ')} {values[key]}"
        for key in ("loss.gamma", "loss.alpha", "loss.gamma_negative", "loss.gamma_positive")
        if values[key] is not None and has_effect(key, values)
    ]
    name = params.loss.name.replace("_", " ")
    stated = f" ({', '.join(loss)})" if loss else ""
    train, px = params.train, params.pack.image_size
    return (
        f"{name[0].upper()}{name[1:]} loss{stated}, "
        f"{train.n_steps:,} steps of {train.batch_size} images at learning rate "
        f"{train.learning_rate:g}, on {IMAGES[params.fetch.source]} of {px} × {px} pixels."
    )
