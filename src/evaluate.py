"""Evaluate the model on the test split: metrics, tables, figures, report and model card.

python src/evaluate.py         some seconds; no model is run
python src/evaluate.py --min_support 20
"""

from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import MODEL_DIR, PACKED_DIR, REPORTS_DIR, SCORES_DIR, SPLIT_DIR
from hpa.config.inherited import inherited_params
from hpa.system.files import atomic_path, write_json

CLASS_FLAGS, GALLERY_DIR = "class_flags.json", REPORTS_DIR / "gallery"


def main() -> None:
    """Evaluate scores/ with model/thresholds.json."""
    parser = command_line.parser(__doc__, "evaluate")
    parser.add_argument(
        "--no-paths", action="store_true", help="do not say where the report is: it will be moved"
    )
    params, arguments = command_line.parse(parser)

    # Import late: this takes seconds, and a wrong command line should fail at once.
    from hpa.evaluation.holdout import (
        HOLDOUT_FILE,
        IMAGES_FILE,
        described_images,
        holdout_predictions,
    )
    from hpa.evaluation.inputs import read_inputs, require_same_thresholds, require_scored_data
    from hpa.evaluation.report_data import evaluate_splits, image_facts
    from hpa.evaluation.submission import unlabelled_submission
    from hpa.evaluation.test_predictions import FILE_NAME
    from hpa.reports.figures import write_figures, write_tables
    from hpa.reports.gallery import gallery_origin
    from hpa.reports.model_card import card_page, model_card
    from hpa.reports.summary import summary
    from hpa.reports.test_report import report_page
    from hpa.tracking.stage_run import log_artifacts, log_image, log_metrics, stage_run

    inputs = read_inputs(MODEL_DIR / "thresholds.json", SCORES_DIR)
    require_scored_data(inputs, PACKED_DIR, SPLIT_DIR)
    gallery = gallery_origin(GALLERY_DIR)
    require_same_thresholds(gallery, GALLERY_DIR, inputs)
    origin, thresholds = inputs.origin, inputs.thresholds
    params = inherited_params(params, {**gallery.params, **origin.params})
    facts = image_facts(PACKED_DIR, SPLIT_DIR)
    submission = unlabelled_submission(SCORES_DIR / "unlabelled.npz", thresholds)
    with stage_run("evaluate", params, sections=("evaluate",), upstream=inputs.run_id) as run_id:
        evaluation = evaluate_splits(
            inputs.val,
            inputs.test,
            thresholds,
            facts,
            params.evaluate,
            run_id=run_id,
            origin=origin,
        )
        evaluation.test.write(REPORTS_DIR / FILE_NAME)
        holdout = SCORES_DIR / "holdout.npz"
        holdout_predictions(holdout, thresholds, facts, evaluation.test).write(
            REPORTS_DIR / HOLDOUT_FILE
        )
        images = described_images(PACKED_DIR, SPLIT_DIR)
        tables = {Path(IMAGES_FILE).stem: images, "submission": submission}
        write_tables({**evaluation.tables, **tables}, REPORTS_DIR)
        figures = write_figures(evaluation, REPORTS_DIR / "figures")
        card = model_card(evaluation, inputs.networks)
        pages = {
            "report.html": report_page(evaluation, GALLERY_DIR),
            "model_card.html": card_page(card),
            "model_card.md": card,
        }
        for name, text in pages.items():
            with atomic_path(REPORTS_DIR / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        weights = " ".join(each["weights_sha256"] for each in origin.networks)
        digests = {"weights_sha256": weights, "thresholds_sha256": origin.thresholds_sha256}
        made_by = {"run_id": run_id, **digests}
        write_json(REPORTS_DIR / "metrics.json", {**made_by, **evaluation.metrics})
        notes = dict(zip(evaluation.classes["label"], evaluation.classes["flags"], strict=True))
        write_json(
            MODEL_DIR / CLASS_FLAGS, {"origin": origin.to_json(), **made_by, "classes": notes}
        )
        log_metrics(evaluation.metrics)
        log_artifacts([REPORTS_DIR])
        log_artifacts([MODEL_DIR / CLASS_FLAGS], "model")
        for path in figures:
            log_image(path, path.stem)
    print(summary(evaluation))
    if arguments.no_paths:
        return
    print("open reports/report.html; numbers: reports/metrics.json, reports/classes.csv")
    print(f"run {run_id}: compare with others by `make ui`, or python src/compare.py A B")


if __name__ == "__main__":
    command_line.run(main)
