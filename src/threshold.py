"""Fit one threshold per class to validation scores, without running the network.

python src/threshold.py        a few seconds; writes model/thresholds.json
python src/threshold.py --rule fixed
python src/threshold.py --scores FILE.npz --output FILE.json     scores of any model
"""

from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import MODEL_DIR, SCORES_DIR
from hpa.config.inherited import inherited_params
from hpa.config.params import Params
from hpa.config.sections import Threshold
from hpa.metrics.origins import require_present_networks
from hpa.metrics.predictions import Scores
from hpa.system.files import write_json
from hpa.thresholds.decisions import Thresholds
from hpa.thresholds.fitting import NO_POSITIVES, fit_by_rule
from hpa.thresholds.shown import fit_shown_scale
from hpa.thresholds.thresholds_file import thresholds_to_json

MAX_WARNINGS = 8
SCORES_PATH, THRESHOLDS_PATH = SCORES_DIR / "val.npz", MODEL_DIR / "thresholds.json"


def main(argv: list[str] | None = None) -> None:
    """Fit thresholds to scores/val.npz."""
    params, arguments = parse(argv)
    val = Scores.read(arguments.scores)
    if arguments.scores == SCORES_PATH:  # those of another folder tell of its networks and data
        require_present_networks(val.origin, str(SCORES_PATH))
        params = inherited_params(params, val.origin.params)
    thresholds = fit(val, params.threshold)
    write(thresholds, val, params, arguments.output)
    warn_of_absent_labels(thresholds)
    print(f"wrote {arguments.output}; {describe(thresholds)}")


def parse(argv: list[str] | None) -> tuple[Params, Namespace]:
    """Read the parameters and the options of the command line."""
    parser = command_line.parser(__doc__, "threshold")
    parser.add_argument(
        "--scores",
        type=Path,
        default=SCORES_PATH,
        metavar="FILE.npz",
        help=f"scores to fit: ids, y_true, y_prob, optional groups (default: {SCORES_PATH})",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=THRESHOLDS_PATH,
        metavar="FILE.json",
        help=f"output file (default: {THRESHOLDS_PATH})",
    )
    return command_line.parse(parser, argv)


def fit(val: Scores, settings: Threshold) -> Thresholds:
    """Fit the thresholds, and the scale of the probabilities that people see."""
    y_true, seed = val.labelled("val"), settings.seed
    thresholds = fit_by_rule(
        settings.rule,
        y_true,
        val.y_prob,
        val.labels,
        fixed=settings.fixed,
        seed=seed,
        groups=val.groups,
    )
    shown_scale = fit_shown_scale(y_true, val.y_prob, val.groups, seed=seed)
    return replace(thresholds, fill_empty=settings.fill_empty, shown_scale=shown_scale)


def write(thresholds: Thresholds, val: Scores, params: Params, path: Path) -> None:
    """Write the thresholds with what made them, and log them to the run of the scores."""
    # Loads in seconds, so only after the command line is checked.
    from hpa.tracking.stage_run import log_artifacts, stage_run

    rule = {f"threshold.{key}": value for key, value in asdict(params.threshold).items()}
    made_by = {
        "score": {"augmentation": val.augmentation, "merge": val.merge},
        "origin": val.made_by.plus(rule).to_json(),
    }
    document = made_by | thresholds_to_json(thresholds)
    if not val.run_id:  # scores of another model belong to no run
        write_json(path, {"run_id": ""} | document)
        return
    with stage_run("threshold", params, sections=("threshold",), upstream=val.run_id) as run_id:
        write_json(path, {"run_id": run_id} | document)
        log_artifacts([path], "model")


def warn_of_absent_labels(thresholds: Thresholds) -> None:
    """Name the labels that no image of val has."""
    pairs = zip(thresholds.labels.names, thresholds.flags, strict=True)
    absent = [label for label, flags in pairs if NO_POSITIVES in flags]
    for label in absent[:MAX_WARNINGS]:
        print(f"warning: {label} has no positives here: its threshold depends on other classes")
    if len(absent) > MAX_WARNINGS:
        print(f"warning: {len(absent) - MAX_WARNINGS} more labels have no positives here")


def describe(thresholds: Thresholds) -> str:
    """Describe what the thresholds, and those of each single rule, are worth on val."""
    shown = thresholds.shown_scale
    lines = [
        f"expected macro F1 on new images: {thresholds.cross_fitted_macro_f1:.3f} "
        f"(on the fit set: {thresholds.fit_macro_f1:.3f})"
    ]
    if shown.method == "temperature":
        lines.append(
            f"shown probabilities are calibrated: error on val {shown.error_before:.3f}, "
            f"then {shown.error_after:.3f}; no decision changes"
        )
    for name, rule in thresholds.plain.items():
        lines.append(f"  rule {name:6s} {rule.cross_fitted_macro_f1:.3f} ({rule.fit_macro_f1:.3f})")
    return "\n".join(lines)


if __name__ == "__main__":
    command_line.run(main)
