"""Choose one threshold a class on validation scores; NumPy only, no network.

python src/threshold.py        some seconds; writes model/thresholds.json
python src/threshold.py --rule fixed
python src/threshold.py --scores FILE.npz --output FILE.json     scores of any model
"""

from contextlib import ExitStack
from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import MODEL_DIR, SCORES_DIR
from hpa.labels import LABELS
from hpa.metrics.predictions import Scores
from hpa.system.files import write_json
from hpa.thresholds.fitting import NO_POSITIVES, fit_by_rule

SCORES_PATH, THRESHOLDS_PATH = SCORES_DIR / "val.npz", MODEL_DIR / "thresholds.json"


def main() -> None:
    """Fit thresholds to scores/val.npz."""
    parser = command_line.parser(__doc__, "threshold")
    parser.add_argument(
        "--scores",
        type=Path,
        default=SCORES_PATH,
        metavar="FILE.npz",
        help=f"ids, y_true, y_prob to fit, groups if any (default: {SCORES_PATH})",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=THRESHOLDS_PATH,
        metavar="FILE.json",
        help=f"write the thresholds here (default: {THRESHOLDS_PATH})",
    )
    params, arguments = command_line.parse(parser)

    # These take seconds to load, so not before the command line is known to be right.
    from hpa.tracking.stage_run import log_artifacts, stage_run

    val = Scores.read(arguments.scores)
    thresholds = fit_by_rule(
        params.threshold.rule,
        val.labelled("val"),
        val.y_prob,
        fixed=params.threshold.fixed,
        seed=params.threshold.seed,
        groups=val.groups,
    )
    with ExitStack() as stack:
        run_id = ""  # scores of another model belong to no run
        if val.run_id:
            run = stage_run("threshold", params, sections=("threshold",), upstream=val.run_id)
            run_id = stack.enter_context(run)
        made = {"augmentation": val.augmentation, "merge": val.merge}
        write_json(arguments.output, {"run_id": run_id, "score": made, **thresholds.to_json()})
        if run_id:
            log_artifacts([arguments.output], "model")
    for label, flags in zip(LABELS, thresholds.flags, strict=True):
        if NO_POSITIVES in flags:
            print(f"warning: {label} has no positives here: its threshold rests on other classes")
    print(
        f"thresholds are in {arguments.output}; macro F1 to be expected on new images: "
        f"{thresholds.cross_fitted_macro_f1:.3f} (of the fit: {thresholds.fit_macro_f1:.3f})"
    )
    for name, plain in thresholds.plain.items():
        print(f"  rule {name:6s} {plain.cross_fitted_macro_f1:.3f} ({plain.fit_macro_f1:.3f})")


if __name__ == "__main__":
    command_line.run(main)
