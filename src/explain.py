"""Show on chosen test images where the network saw each label: pictures with Grad-CAM.

python src/explain.py          some ten seconds; writes reports/gallery for the report
python src/explain.py --n_per_label 3
"""

from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import MODEL_DIR, PACKED_DIR, REPORTS_DIR, SCORES_DIR
from hpa.system.backends import prepare_backend

SCORES_PATH, GALLERY_DIR = SCORES_DIR / "test.npz", REPORTS_DIR / "gallery"


def main() -> None:
    """Explain scores/test.npz with the network that made it."""
    parser = command_line.parser(__doc__, "score", "explain", "evaluate")
    params, _ = command_line.parse(parser)
    prepare_backend()

    # These take seconds to load, so not before the command line is known to be right.
    from hpa.inference.scoring import find_models
    from hpa.metrics.predictions import Scores
    from hpa.reports.grad_cam_gallery import explain_examples
    from hpa.thresholds.decisions import decide
    from hpa.thresholds.fitting import read_thresholds

    # No run of its own: evaluate logs the pictures with the report.
    thresholds, _ = read_thresholds(MODEL_DIR / "thresholds.json")
    test = Scores.read(SCORES_PATH)
    n_pictures = explain_examples(
        find_models(Path(params.score.models))[0],  # of several, the first
        test,
        decide(thresholds, test.y_prob, fill_empty=params.evaluate.fill_empty),
        thresholds.values,
        packed_dir=PACKED_DIR,
        gallery_dir=GALLERY_DIR,
        n_per_label=params.explain.n_per_label,
        seed=params.explain.seed,
        batch_size=params.score.batch_size,
    )
    print(f"{n_pictures} pictures are in {GALLERY_DIR}; the report shows them")


if __name__ == "__main__":
    command_line.run(main)
