"""Fit one threshold per class to validation scores, without running the network.

python src/threshold.py        a few seconds; writes model/thresholds.json
python src/threshold.py --rule fixed
python src/threshold.py --scores FILE.npz --output FILE.json     scores of any model
"""

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import MODEL_DIR, SCORES_DIR
from hpa.config.inherited import inherited_params
from hpa.labels import LABELS
from hpa.metrics.origins import require_present_networks
from hpa.metrics.predictions import Scores
from hpa.system.files import write_json
from hpa.thresholds.fitting import NO_POSITIVES, fit_by_rule
from hpa.thresholds.shown import fit_shown_scale
from hpa.thresholds.thresholds_file import thresholds_to_json

SCORES_PATH, THRESHOLDS_PATH = SCORES_DIR / "val.npz", MODEL_DIR / "thresholds.json"


def main() -> None:
    """Fit thresholds to scores/val.npz."""
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
    params, arguments = command_line.parse(parser)

    # Loads in seconds, so only after the command line is checked.
    from hpa.tracking.stage_run import log_artifacts, stage_run

    val = Scores.read(arguments.scores)
    if arguments.scores == SCORES_PATH:  # those of another folder tell of its networks and data
        require_present_networks(val.origin, str(SCORES_PATH))
        params = inherited_params(params, val.origin.params)
    thresholds = fit_by_rule(
        params.threshold.rule,
        val.labelled("val"),
        val.y_prob,
        fixed=params.threshold.fixed,
        seed=params.threshold.seed,
        groups=val.groups,
    )
    shown_scale = fit_shown_scale(
        val.labelled("val"), val.y_prob, val.groups, seed=params.threshold.seed
    )
    thresholds = replace(
        thresholds, fill_empty=params.threshold.fill_empty, shown_scale=shown_scale
    )
    with ExitStack() as stack:
        run_id = ""  # scores of another model belong to no run
        if val.run_id:
            run = stage_run("threshold", params, sections=("threshold",), upstream=val.run_id)
            run_id = stack.enter_context(run)
        score = {"augmentation": val.augmentation, "merge": val.merge}
        rule = {f"threshold.{key}": value for key, value in asdict(params.threshold).items()}
        made_by = {"run_id": run_id, "score": score, "origin": val.made_by.plus(rule).to_json()}
        write_json(arguments.output, made_by | thresholds_to_json(thresholds))
        if run_id:
            log_artifacts([arguments.output], "model")
    for label, flags in zip(LABELS, thresholds.flags, strict=True):
        if NO_POSITIVES in flags:
            print(f"warning: {label} has no positives here: its threshold depends on other classes")
    print(
        f"wrote {arguments.output}; expected macro F1 on new images: "
        f"{thresholds.cross_fitted_macro_f1:.3f} (on the fit set: {thresholds.fit_macro_f1:.3f})"
    )
    if shown_scale.method == "temperature":
        print(
            f"shown probabilities are calibrated: error on val {shown_scale.error_before:.3f}, "
            f"then {shown_scale.error_after:.3f}; no decision changes"
        )
    for name, plain in thresholds.plain.items():
        print(f"  rule {name:6s} {plain.cross_fitted_macro_f1:.3f} ({plain.fit_macro_f1:.3f})")


if __name__ == "__main__":
    command_line.run(main)
