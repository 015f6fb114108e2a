"""From a finished run to the champion that everybody is served, and back.

A run's files are gathered and verified, registered as one version, and compared with the champion
on what both would be served with: their thresholds on their probabilities of the test images.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hpa.config.params import Params
from hpa.errors import UserError
from hpa.evaluation.noninferiority import objections
from hpa.evaluation.paired_bootstrap import PairedComparison, compare
from hpa.evaluation.test_predictions import FILE_NAME, EvaluatedSplit, check_same_data
from hpa.serving.mlflow_model import save_model
from hpa.serving.registry import CHAMPION, NAME, SCHEME, Registry, model_folder
from hpa.serving.run_artifacts import check_answers, finished_run, gather
from hpa.thresholds.fitting import read_thresholds


@dataclass(frozen=True)
class Promotion:
    """How a promotion ended.

    Attributes:
        version: the run's, registered.
        before: the champion's version before, None where there was none.
        comparison: of the two, None where there was nothing or no way to compare.
        objections: why the champion should stay; with a reason given, it went all the same.
        done: whether the version has become champion.
    """

    version: str
    before: str | None
    comparison: PairedComparison | None
    objections: list[str]
    done: bool


def promote(registry: Registry, run_id: str, params: Params, force: str | None) -> Promotion:
    """Register the model of a run; make it champion if it is not worse, or if `force` says why.

    Raises:
        UserError: there is no such run, it is not finished or was not judged, its model is missing,
            damaged or not the judged one; or, without `force`, the data differ.
    """
    run = finished_run(run_id)
    version, before = registry.version_of(run.run_id), registry.champion()
    if version is not None and version == before:
        return Promotion(version, before, None, [], done=False)
    with TemporaryDirectory(prefix="hpa-promote-") as name:
        print(f"gathering the model of run {run.run_id}", flush=True)
        folder = gather(run, Path(name) / "model")
        check_answers(folder)
        comparison, reasons = None, []
        if before is not None:
            try:
                comparison = compare_with_champion(before, folder, params)
                reasons = _objections(comparison, params)
            except UserError as error:  # other test images, as after new data
                if force is None:
                    raise
                reasons = [str(error).splitlines()[0]]
        if version is None:
            print(f"registering it as a version of {NAME}", flush=True)
            version = _register(registry, run.run_id, folder, params)
        else:
            check_version(version)
    done = not reasons or force is not None
    registry.tag(version, _tags(before, comparison, reasons, force))
    if done:
        registry.crown(version, instead_of=before)
    return Promotion(version, before, comparison, reasons, done)


def as_text(promotion: Promotion) -> str:
    """Tell how a promotion ended."""
    version, before = promotion.version, promotion.before
    if version == before:
        return f"version {version} is champion already: nothing was changed"
    lines = []
    if promotion.comparison is not None:
        low, high = promotion.comparison.interval
        old, new = promotion.comparison.macro_f1
        lines.append(
            f"macro F1 {new:.3f}, the champion's {old:.3f}: difference "
            f"{promotion.comparison.difference:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}, on "
            f"the same {promotion.comparison.n_images:,} test images"
        )
    lines += [f"against it: {reason}" for reason in promotion.objections]
    if promotion.done:
        lines += [
            f"version {version} is champion now, instead of {before or 'none'}: "
            f"{SCHEME}{NAME}@{CHAMPION}",
            f"serve it: mlflow models serve -m {SCHEME}{NAME}@{CHAMPION} --env-manager local",
        ]
    else:
        lines += [
            f"version {before} stays champion; version {version} is registered beside it",
            'to promote it all the same: --force "REASON"',
        ]
    return "\n".join(lines)


def roll_back(registry: Registry) -> tuple[str, str]:
    """Make the champion before today's champion again; returns the versions: left, and now.

    Raises:
        UserError: there is no earlier champion, or its files are not what was registered.
    """
    today = registry.champion()
    earlier = [version for version in registry.history() if version != today]
    if today is None or not earlier:
        raise UserError(
            "there is no earlier champion",
            expected=f"a version of {NAME} that was {CHAMPION} before",
            received="no champion at all" if today is None else f"version {today} alone",
            remedy="promote another run: python src/promote.py RUN_ID",
        )
    check_version(earlier[-1])
    registry.step_back(earlier[-1])
    registry.tag(today, {"promotion.rolled_back": _now()})
    return today, earlier[-1]


def check_version(version: str) -> None:
    """Verify the files of a registered version.

    Raises:
        UserError: they are not what was registered.
    """
    with model_folder(f"{SCHEME}{NAME}/{version}") as folder:
        check_answers(folder)


def compare_with_champion(version: str, folder: Path, params: Params) -> PairedComparison:
    """Compare a model folder (B) with the champion's (A) on the test images of both.

    Raises:
        UserError: they were judged on other images, labels or groups, or the champion never was.
    """
    with model_folder(f"{SCHEME}{NAME}/{version}") as champion:
        a, b = check_same_data(_as_served(champion), _as_served(folder))
    settings = params.promote
    return compare(a.y_true, a.groups, a.y_pred, b.y_pred, settings.seed, settings.n_draws)


def _as_served(folder: Path) -> EvaluatedSplit:
    """Read what a model was judged on, with the decisions that it is served with."""
    judged = EvaluatedSplit.read(folder / FILE_NAME)
    thresholds, _ = read_thresholds(folder / "thresholds.json")
    return replace(judged, y_pred=thresholds.predict(judged.y_prob))


def _objections(comparison: PairedComparison, params: Params) -> list[str]:
    return objections(
        comparison,
        macro_margin=params.promote.macro_margin,
        class_margin=params.promote.class_margin,
        min_support=params.evaluate.min_support,
    )


def _register(registry: Registry, run_id: str, folder: Path, params: Params) -> str:
    with TemporaryDirectory(prefix="hpa-register-") as name:
        save_model(Path(name) / "model", folder, params.serve)
        card = (folder / "model_card.md").read_text(encoding="utf-8")
        return registry.register(run_id, Path(name) / "model", card)


def _tags(
    before: str | None, comparison: PairedComparison | None, reasons: list[str], force: str | None
) -> dict[str, str]:
    """Tell of the decision, for the registry's page."""
    tags = {
        "promotion.at": _now(),
        "promotion.champion_before": before or "none",
        "promotion.objections": "; ".join(reasons) or "none",
    }
    if comparison is not None:
        low, high = comparison.interval
        tags["promotion.macro_f1"] = (
            f"{comparison.macro_f1[1]:.4f}, champion's {comparison.macro_f1[0]:.4f}, difference "
            f"{comparison.difference:+.4f} ({low:+.4f} to {high:+.4f})"
        )
    if force is not None:
        tags["promotion.forced_because"] = force
    return tags


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
