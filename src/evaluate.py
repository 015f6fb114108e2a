"""Judge the model on the test split: metrics, a table of classes, figures, a submission.

python src/evaluate.py         some seconds; no network is run
"""

from pathlib import Path

from hpa import command_line
from hpa.files import atomic_path, read_json, write_json
from hpa.scoring.scores import Scores
from hpa.scoring.thresholds import Thresholds

PACKED_DIR, SCORES_DIR, REPORTS_DIR = Path("data/packed"), Path("scores"), Path("reports")
THRESHOLDS_PATH = Path("model/thresholds.json")


def main() -> None:
    """Evaluate scores/ with model/thresholds.json."""
    params, _ = command_line.parse(command_line.parser(__doc__, "evaluate"))

    # These take seconds to load, so not before the command line is known to be right.
    from hpa import tracking
    from hpa.evaluation import evaluate_splits, unlabelled_submission
    from hpa.gallery import write_gallery
    from hpa.reporting import summary, write_figures

    document = read_json(THRESHOLDS_PATH)
    upstream = document.pop("run_id")
    val, test = (Scores.read(SCORES_DIR / f"{split}.npz") for split in ("val", "test"))
    evaluation = evaluate_splits(val, test, Thresholds.from_json(document))
    submission = unlabelled_submission(SCORES_DIR / "unlabelled.npz", evaluation.thresholds)

    with tracking.stage_run(
        "evaluate", params, sections=("evaluate",), upstream=upstream
    ) as run_id:
        with atomic_path(REPORTS_DIR / "classes.csv") as temporary:
            evaluation.classes.to_csv(temporary, index=False, float_format="%.6f")
        with atomic_path(REPORTS_DIR / "submission.csv") as temporary:
            submission.to_csv(temporary, index=False)
        write_figures(evaluation, REPORTS_DIR / "figures")
        write_gallery(
            evaluation,
            PACKED_DIR,
            params.evaluate.n_examples,
            REPORTS_DIR / "figures" / "gallery.png",
        )
        write_json(REPORTS_DIR / "metrics.json", {"run_id": run_id, **evaluation.metrics})
        tracking.log_metrics(evaluation.metrics)
        tracking.log_artifacts([REPORTS_DIR])
    print(summary(evaluation))
    print(f"run {run_id}: compare with others by `make ui`")


if __name__ == "__main__":
    command_line.run(main)
