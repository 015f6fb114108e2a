"""Choose one threshold a class on validation scores; NumPy only, no network.

python src/threshold.py        a second; writes model/thresholds.json
python src/threshold.py --rule fixed
python src/threshold.py --scores FILE.npz --output FILE.json     scores of any model
"""

from contextlib import ExitStack
from pathlib import Path

from hpa import command_line
from hpa.files import write_json
from hpa.scoring.scores import Scores
from hpa.scoring.thresholds import fit_thresholds, fixed_thresholds

SCORES_PATH, THRESHOLDS_PATH = Path("scores/val.npz"), Path("model/thresholds.json")


def main() -> None:
    """Fit thresholds to scores/val.npz."""
    parser = command_line.parser(__doc__, "threshold")
    parser.add_argument(
        "--scores",
        type=Path,
        default=SCORES_PATH,
        metavar="FILE.npz",
        help=f"ids, y_true, y_prob to fit (default: {SCORES_PATH})",
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
    from hpa import tracking

    val = Scores.read(arguments.scores)
    y_true, fixed = val.labelled("val"), params.threshold.fixed
    rules = {
        "sweep": lambda: fit_thresholds(y_true, val.y_prob),
        "fixed": lambda: fixed_thresholds(y_true, val.y_prob, fixed),
    }
    thresholds = rules[params.threshold.rule]()
    with ExitStack() as stack:
        run_id = ""  # scores of another model belong to no run
        if val.run_id:
            run = tracking.stage_run(
                "threshold", params, sections=("threshold",), upstream=val.run_id
            )
            run_id = stack.enter_context(run)
        write_json(arguments.output, {"run_id": run_id, **thresholds.to_json()})
        if run_id:
            tracking.log_artifacts([arguments.output], "model")
    print(
        f"thresholds are in {arguments.output}; "
        f"macro F1 on the images they were fitted to: {thresholds.fit_macro_f1:.3f} (optimistic)"
    )


if __name__ == "__main__":
    command_line.run(main)
