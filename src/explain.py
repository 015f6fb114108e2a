"""Draw Grad-CAM pictures of random test images for each label.

python src/explain.py          ten seconds; writes reports/gallery for the report
python src/explain.py --n_per_label 3
"""

from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import MODEL_DIR, PACKED_DIR, REPORTS_DIR, SCORES_DIR
from hpa.system.backends import prepare_backend

SCORES_PATH, GALLERY_DIR = SCORES_DIR / "test.npz", REPORTS_DIR / "gallery"


def main() -> None:
    """Draw the pictures for scores/test.npz with the network that made it."""
    parser = command_line.parser(__doc__, "score", "explain", "evaluate")
    params, _ = command_line.parse(parser)
    prepare_backend()

    # Import late: this takes seconds, and a wrong command line should fail at once.
    from hpa.inference.scoring import find_models
    from hpa.metrics.predictions import Scores
    from hpa.reports.grad_cam_gallery import explain_examples
    from hpa.thresholds.decisions import decide
    from hpa.thresholds.thresholds_file import read_thresholds

    # No MLflow run: the evaluate stage logs the pictures with the report.
    thresholds, _ = read_thresholds(MODEL_DIR / "thresholds.json")
    test = Scores.read(SCORES_PATH)
    n_pictures = explain_examples(
        find_models(Path(params.score.models))[0],  # the first of several networks
        test,
        decide(thresholds, test.y_prob, fill_empty=params.evaluate.fill_empty),
        thresholds.values,
        packed_dir=PACKED_DIR,
        gallery_dir=GALLERY_DIR,
        n_per_label=params.explain.n_per_label,
        seed=params.explain.seed,
        batch_size=params.score.batch_size,
    )
    print(f"{n_pictures} pictures in {GALLERY_DIR}, shown in the report")


if __name__ == "__main__":
    command_line.run(main)
