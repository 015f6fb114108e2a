"""Evaluate the model on the test split: metrics, tables, figures, report and model card.

python src/evaluate.py         some seconds; no model is run
python src/evaluate.py --fill_empty true
"""

from hpa.config import command_line
from hpa.config.folders import MODEL_DIR, PACKED_DIR, REPORTS_DIR, SCORES_DIR, SPLIT_DIR
from hpa.system.files import atomic_path, read_json, write_json

CLASS_FLAGS = "class_flags.json"


def main() -> None:
    """Evaluate scores/ with model/thresholds.json."""
    parser = command_line.parser(__doc__, "evaluate")
    parser.add_argument(
        "--no-paths", action="store_true", help="do not say where the report is: it will be moved"
    )
    params, arguments = command_line.parse(parser)

    # Import late: this takes seconds, and a wrong command line should fail at once.
    from hpa.evaluation.report_data import evaluate_splits, image_facts
    from hpa.evaluation.submission import unlabelled_submission
    from hpa.evaluation.test_predictions import FILE_NAME
    from hpa.metrics.predictions import Scores
    from hpa.reports.figures import write_figures, write_tables
    from hpa.reports.model_card import card_page, model_card
    from hpa.reports.summary import summary
    from hpa.reports.test_report import report_page
    from hpa.thresholds.thresholds_file import read_thresholds
    from hpa.tracking.stage_run import log_artifacts, log_image, log_metrics, stage_run

    thresholds, beside = read_thresholds(MODEL_DIR / "thresholds.json")
    networks = read_json(SCORES_DIR / "networks.json")
    val, test = (Scores.read(SCORES_DIR / f"{split}.npz") for split in ("val", "test"))
    facts = image_facts(PACKED_DIR, SPLIT_DIR)
    submission = unlabelled_submission(
        SCORES_DIR / "unlabelled.npz", thresholds, fill_empty=params.evaluate.fill_empty
    )
    with stage_run("evaluate", params, sections=("evaluate",), upstream=beside["run_id"]) as run_id:
        evaluation = evaluate_splits(val, test, thresholds, facts, params.evaluate, run_id=run_id)
        evaluation.test.write(REPORTS_DIR / FILE_NAME)
        write_tables({**evaluation.tables, "submission": submission}, REPORTS_DIR)
        figures = write_figures(evaluation, REPORTS_DIR / "figures")
        card = model_card(evaluation, networks)
        pages = {
            "report.html": report_page(evaluation, REPORTS_DIR / "gallery"),
            "model_card.html": card_page(card),
            "model_card.md": card,
        }
        for name, text in pages.items():
            with atomic_path(REPORTS_DIR / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        write_json(REPORTS_DIR / "metrics.json", {"run_id": run_id, **evaluation.metrics})
        notes = dict(zip(evaluation.classes["label"], evaluation.classes["note"], strict=True))
        write_json(MODEL_DIR / CLASS_FLAGS, {"run_id": run_id, "classes": notes})
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
