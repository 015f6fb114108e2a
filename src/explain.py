"""Draw Grad-CAM pictures of random test images for each label.

python src/explain.py          ten seconds; writes reports/gallery for the report
python src/explain.py --n_per_label 3
"""

from dataclasses import asdict
from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import MODEL_DIR, PACKED_DIR, REPORTS_DIR, SCORES_DIR
from hpa.config.inherited import inherited_params
from hpa.inference.models import find_models, require_scored_by
from hpa.metrics.origins import require_same_origin, require_same_vocabulary
from hpa.metrics.predictions import Scores
from hpa.system.backends import prepare_backend
from hpa.thresholds.thresholds_file import read_thresholds

SCORES_PATH, GALLERY_DIR = SCORES_DIR / "test.npz", REPORTS_DIR / "gallery"
THRESHOLDS_PATH = MODEL_DIR / "thresholds.json"
REMEDY = (
    "fit the thresholds to the present scores: python src/threshold.py; or, for those of "
    "params.yaml: dvc repro threshold"
)


def main(argv: list[str] | None = None) -> None:
    """Draw the pictures for scores/test.npz with the network that made it."""
    parser = command_line.parser(__doc__, "score", "explain")
    params, arguments = command_line.parse(parser, argv)
    test, (thresholds, beside) = Scores.read(SCORES_PATH), read_thresholds(THRESHOLDS_PATH)
    made_with = {k: v for k, v in test.origin.params.items() if k not in arguments.overrides}
    params = inherited_params(params, made_with)
    models = find_models(Path(params.score.models))
    require_scored_by(models, test.origin, SCORES_PATH, PACKED_DIR / "index.csv")
    names = str(THRESHOLDS_PATH), str(SCORES_PATH)
    require_same_origin(beside["origin"], test.origin, names=names, remedy=REMEDY)
    require_same_vocabulary(thresholds.labels, test.labels, names=names, remedy=REMEDY)
    prepare_backend(models[0].backend, required_by=f"the training of {models[0].path}")

    # Import late: this takes seconds, and wrong inputs should fail at once.
    from hpa.reports.grad_cam_gallery import explain_examples

    # No MLflow run: the evaluate stage logs the pictures with the report.
    settings = {f"explain.{key}": value for key, value in asdict(params.explain).items()}
    n_pictures = explain_examples(
        models,
        test,
        thresholds,
        packed_dir=PACKED_DIR,
        gallery_dir=GALLERY_DIR,
        n_per_label=params.explain.n_per_label,
        seed=params.explain.seed,
        batch_size=params.score.batch_size,
        origin=beside["origin"].plus(settings).without_runs(),
    )
    print(f"{n_pictures} pictures in {GALLERY_DIR}, shown in the report")


if __name__ == "__main__":
    command_line.run(main)
