"""Promote a finished run to champion, the model that is served, and roll back.

The run's files are verified and registered as one version. Its predictions are compared with the
champion's: see `hpa.serving.judgement`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hpa.config.params import Params
from hpa.errors import UserError, first_names
from hpa.evaluation.headline_metrics import f1_name
from hpa.evaluation.noninferiority import objections
from hpa.inference.models import read_model_vocabulary
from hpa.serving.judgement import Judgement, OtherVocabularyError, judge
from hpa.serving.registry import Registry
from hpa.serving.run_artifacts import check_model, collect, finished_run
from hpa.tracking.mlflow_store import PastRun
from hpa.tracking.model_files import save_model
from hpa.tracking.registered_models import CHAMPION, SCHEME, model_folder

PORT = 5050
"""For `mlflow models serve`, whose default is the port of `make ui`."""
N_NAMES = 30
"""Labels that a tag names."""
ORIGIN_TAGS = ("git.", "code.", "data.", "dvc.", "device")
"""Beginnings of the tags of a run that describe its model."""


@dataclass(frozen=True)
class Promotion:
    """Result of a promotion.

    Attributes:
        name: of the registered model.
        version: registered version of the run.
        before: version of the previous champion; None if this is the first.
        judgement: comparison with the previous champion; None if there was none or it was not
            possible.
        objections: reasons for keeping the champion; a forced promotion overrules them.
        done: whether the version is champion now.
    """

    name: str
    version: str
    before: str | None
    judgement: Judgement | None
    objections: list[str]
    done: bool


def promote(registry: Registry, run_id: str, params: Params, force: str | None) -> Promotion:
    """Register the model of a run; make it champion if it is non-inferior or if forced.

    Args:
        registry: locked for this promotion.
        run_id: of a finished run with an evaluated model.
        params: margins, number of draws, limits of serving.
        force: reason for promoting an inferior model; None to keep the champion in that case.

    Raises:
        UserError: there is no such run, it is not finished or not evaluated, its model is missing,
            damaged or not the evaluated one; it has other labels or channels than the champion; or,
            without `force`, it cannot be compared.
    """
    run = finished_run(run_id)
    version, before = registry.version_of(run.run_id), registry.champion()
    if version is not None and version == before:
        return Promotion(registry.name, version, before, None, [], done=False)
    with TemporaryDirectory(prefix="hpa-promote-") as name:
        print(f"collecting the model of run {run.run_id}", flush=True)
        folder = collect(run, Path(name) / "model")
        check_model(folder)
        judgement, reasons = None, []
        if before is not None:
            try:
                with model_folder(f"{SCHEME}{registry.name}/{before}") as champion:
                    judgement = judge(champion, folder, params)
                reasons = objections(
                    judgement.comparison,
                    macro_margin=params.promote.macro_margin,
                    class_margin=params.promote.class_margin,
                    min_support=params.evaluate.min_support,
                )
            except UserError as error:  # other images, which the champion cannot predict
                if force is None or isinstance(error, OtherVocabularyError):
                    raise
                reasons = [str(error).splitlines()[0]]
        if version is None:
            print(f"registering it as a version of {registry.name}", flush=True)
            version = _register(registry, run.run_id, folder, params)
        else:
            check_version(registry, version)
        registry.describe(version, (folder / "model_card.md").read_text(encoding="utf-8"))
        tags = _made_by(run) | _vocabulary(folder) | _tags(before, judgement, reasons, force)
    done = not reasons or force is not None
    registry.tag(version, tags)
    if done:
        registry.save_limits(version, params.serve)
        registry.promote(version, instead_of=before)
    return Promotion(registry.name, version, before, judgement, reasons, done)


def as_text(promotion: Promotion) -> str:
    """Describe a promotion in a few lines."""
    version, before = promotion.version, promotion.before
    champion = f"{SCHEME}{promotion.name}@{CHAMPION}"
    if version == before:
        return f"version {version} is champion already: nothing changed"
    lines = []
    if promotion.judgement is not None:
        lines += _judgement_text(promotion.judgement)
    lines += [f"objection: {reason}" for reason in promotion.objections]
    if promotion.done:
        lines += [
            f"version {version} is champion now, instead of {before or 'none'}: {champion}",
            f"serve it: mlflow models serve -m {champion} --env-manager local --port {PORT}",
        ]
    else:
        lines += [
            f"version {before} stays champion; version {version} is registered",
            'to promote it nevertheless: --force "REASON"',
        ]
    return "\n".join(lines)


def _judgement_text(judgement: Judgement) -> list[str]:
    comparison = judgement.comparison
    (old, new), (low, high) = comparison.macro_f1, comparison.interval
    interval = f"no interval ({comparison.too_few})"
    if not comparison.too_few:
        interval = f"95 % interval {low:+.3f} to {high:+.3f}"
    lines = [
        f"{f1_name(len(comparison.labels))} {new:.3f}, the champion's {old:.3f}: difference "
        f"{comparison.difference:+.3f}, {interval}, on the same {comparison.n_images:,} "
        f"{judgement.split} images"
    ]
    if judgement.again:
        lines.append(judgement.again)
    if judgement.split == "test":
        lines.append(
            "the test split has now taken part in a choice: with split.holdout_fraction above 0, "
            "holdout images choose instead"
        )
    return lines


def roll_back(registry: Registry) -> tuple[str, str]:
    """Make the previous champion champion again; return the versions before and after.

    Raises:
        UserError: there is no previous champion, or its files are not what was registered.
    """
    today = registry.champion()
    earlier = [version for version in registry.history() if version != today]
    if today is None or not earlier:
        raise UserError(
            "there is no previous champion",
            expected=f"a version of {registry.name} that was {CHAMPION} earlier",
            received="no champion" if today is None else f"version {today} alone",
            remedy="promote another run: python src/promote.py RUN_ID",
        )
    check_version(registry, earlier[-1])
    registry.roll_back(earlier[-1])
    registry.tag(today, {"promotion.rolled_back": _now()})
    return today, earlier[-1]


def check_version(registry: Registry, version: str) -> None:
    """Verify the files of a registered version; raise UserError if they have changed."""
    with model_folder(f"{SCHEME}{registry.name}/{version}") as folder:
        check_model(folder)


def _register(registry: Registry, run_id: str, folder: Path, params: Params) -> str:
    """Register the model that the run has in MLflow; a run of an earlier version gets one first."""
    if version := registry.register_logged(run_id):
        return version
    with TemporaryDirectory(prefix="hpa-register-") as name:
        save_model(Path(name) / "model", folder, params.serve)
        return registry.register(run_id, Path(name) / "model")


def _made_by(run: PastRun) -> dict[str, str]:
    """Describe a model for the registry's page: who made it, from what, and how good it is."""
    tags = {key: value for key, value in run.tags.items() if key.startswith(ORIGIN_TAGS)}
    if user := run.tags.get("mlflow.user"):
        tags["user"] = user
    names = ("test/macro_f1", "test/macro_f1_low", "test/macro_f1_high")
    if all(name in run.metrics for name in names):
        f1, low, high = (run.metrics[name] for name in names)
        tags["test/macro_f1"] = f"{f1:.3f}, 95 % interval {low:.3f} to {high:.3f}"
    return tags


def _vocabulary(folder: Path) -> dict[str, str]:
    """Name labels and channels for the registry's page."""
    vocabulary = read_model_vocabulary(folder)
    names = vocabulary.labels.names
    labels = f"{len(names)}: {first_names(names, N_NAMES)}"
    return {"labels": labels, "channels": ", ".join(vocabulary.channels.names)}


def _tags(
    before: str | None, judgement: Judgement | None, reasons: list[str], force: str | None
) -> dict[str, str]:
    """Describe the decision for the registry's page."""
    tags = {
        "promotion.at": _now(),
        "promotion.champion_before": before or "none",
        "promotion.objections": "; ".join(reasons) or "none",
        "promotion.judged_on": "nothing: it was compared with no other model",
    }
    if judgement is not None:
        comparison, split = judgement.comparison, judgement.split
        (old, new), (low, high) = comparison.macro_f1, comparison.interval
        interval = comparison.too_few or f"{low:+.4f} to {high:+.4f}"
        tags["promotion.macro_f1"] = (
            f"{new:.4f}, champion's {old:.4f}, difference {comparison.difference:+.4f} ({interval})"
        )
        used = ", which has taken part in a choice" if split == "test" else ""
        tags["promotion.judged_on"] = f"{split}: {comparison.n_images} images{used}"
        if judgement.again:
            tags["promotion.judged_again"] = judgement.again
    if force is not None:
        tags["promotion.forced_because"] = force
    return tags


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
