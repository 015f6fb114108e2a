"""Evaluate the model on the test split: metrics, tables, figures, report and model card.

python src/evaluate.py         some seconds; no model is run
python src/evaluate.py --min_support 20
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hpa.config import command_line
from hpa.config.folders import MODEL_DIR, PACKED_DIR, REPORTS_DIR, SCORES_DIR, SPLIT_DIR
from hpa.config.inherited import inherited_params
from hpa.system.files import atomic_path, write_json

if TYPE_CHECKING:
    import pandas as pd

    from hpa.config.params import Params
    from hpa.config.sections import Fetch
    from hpa.evaluation.inputs import Inputs
    from hpa.evaluation.report_data import Evaluation
    from hpa.metrics.origins import Origin
    from hpa.reports.run_facts import RunFacts

THRESHOLDS_PATH, CLASS_FLAGS_PATH = MODEL_DIR / "thresholds.json", MODEL_DIR / "class_flags.json"
GALLERY_DIR = REPORTS_DIR / "gallery"


def main(argv: list[str] | None = None) -> None:
    """Evaluate scores/ with model/thresholds.json."""
    parser = command_line.parser(__doc__, "evaluate")
    parser.add_argument(
        "--no-paths", action="store_true", help="do not say where the report is: it will be moved"
    )
    params, arguments = command_line.parse(parser, argv)

    # Import late, here and below: this takes seconds, and a wrong command line should fail at once.
    from hpa.evaluation.report_data import evaluate_splits, image_facts
    from hpa.evaluation.submission import unlabelled_submission
    from hpa.reports.summary import summary
    from hpa.tracking.model_files import log_model
    from hpa.tracking.run_place import comparison
    from hpa.tracking.stage_run import log_result, stage_run

    inputs, gallery = read_checked_inputs()
    params = inherited_params(params, {**gallery.params, **inputs.origin.params})
    facts = image_facts(PACKED_DIR, SPLIT_DIR)
    submission = unlabelled_submission(
        SCORES_DIR / "unlabelled.npz", inputs.thresholds, submitted_images(params.fetch, facts)
    )
    with stage_run("evaluate", params, sections=("evaluate",), upstream=inputs.run_id) as run_id:
        evaluation = evaluate_splits(
            inputs.val,
            inputs.test,
            inputs.thresholds,
            facts,
            params.evaluate,
            run_id=run_id,
            origin=inputs.origin,
        )
        write_predictions(evaluation, facts)
        write_tables(evaluation, submission)
        write_pages(evaluation, inputs, described_run(params, inputs, gallery, run_id))
        write_numbers(evaluation, inputs, run_id)
        log_results(evaluation)
        log_result(summary(evaluation).splitlines()[0])
        log_model(inputs.origin.networks, params.serve)
    print(summary(evaluation))
    if not arguments.no_paths:
        print("open reports/report.html; numbers: reports/metrics.json, reports/classes.csv")
        print(comparison(run_id))


def submitted_images(fetch: "Fetch", facts: "pd.DataFrame") -> "pd.Series":
    """Return the image of each row: of several sources, those of the competition."""
    kinds = {each["name"]: each["source"] for each in fetch.sources or ()}
    if fetch.source != "several" or "kaggle" not in kinds.values():
        return facts["image"]
    return facts["image"][facts["source"].map(kinds) == "kaggle"]


def read_checked_inputs() -> "tuple[Inputs, Origin]":
    """Read scores, thresholds, and the origin of the gallery; refuse those of another model."""
    from hpa.evaluation.inputs import read_inputs, require_same_thresholds, require_scored_data
    from hpa.reports.gallery import gallery_origin

    inputs = read_inputs(THRESHOLDS_PATH, SCORES_DIR)
    require_scored_data(inputs, PACKED_DIR, SPLIT_DIR)
    gallery = gallery_origin(GALLERY_DIR)
    require_same_thresholds(gallery, GALLERY_DIR, inputs)
    return inputs, gallery


def write_predictions(evaluation: "Evaluation", facts: "pd.DataFrame") -> None:
    """Write the predictions for test, and for the holdout images if there are any."""
    from hpa.evaluation.holdout import HOLDOUT_FILE, holdout_predictions
    from hpa.evaluation.test_predictions import FILE_NAME

    test, scores = evaluation.test, SCORES_DIR / "holdout.npz"
    test.write(REPORTS_DIR / FILE_NAME)
    holdout = holdout_predictions(scores, evaluation.thresholds, facts, test)
    holdout.write(REPORTS_DIR / HOLDOUT_FILE)


def write_tables(evaluation: "Evaluation", submission: "pd.DataFrame") -> None:
    """Write the tables of the evaluation, the submission, and what tells images apart."""
    from hpa.evaluation.holdout import IMAGES_FILE, described_images
    from hpa.reports import figures
    from hpa.reports.tables import false_prediction_table

    others = {
        Path(IMAGES_FILE).stem: described_images(PACKED_DIR, SPLIT_DIR),
        "false_predictions": false_prediction_table(evaluation),
        "submission": submission,
    }
    figures.write_tables(evaluation.tables | others, REPORTS_DIR)


def described_run(params: "Params", inputs: "Inputs", gallery: "Origin", run_id: str) -> "RunFacts":
    """Return what the top of the pages says: data, date, code, runs and unusual parameters."""
    from hpa.reports.run_facts import run_facts
    from hpa.tracking.lineage import committed_params

    own = {f"evaluate.{key}": value for key, value in asdict(params.evaluate).items()}
    made_with = {**gallery.params, **inputs.origin.params, **own}
    lineage = inputs.networks[0].get("lineage", {})
    committed = committed_params(lineage.get("dvc.baseline") or lineage.get("git.commit") or "")
    return run_facts(inputs.networks, inputs.origin, made_with, committed, run_id=run_id)


def write_pages(evaluation: "Evaluation", inputs: "Inputs", facts: "RunFacts") -> None:
    """Write the report, and the model card as a page and as Markdown."""
    from hpa.data.packed.vocabulary import vocabulary_of
    from hpa.reports.model_card import card_page, model_card
    from hpa.reports.test_report import report_page

    channels = vocabulary_of(inputs.networks[0]).channels
    card = model_card(evaluation, inputs.networks, facts)
    pages = {
        "report.html": report_page(evaluation, GALLERY_DIR, facts, channels),
        "model_card.html": card_page(card),
        "model_card.md": card,
    }
    for name, text in pages.items():
        with atomic_path(REPORTS_DIR / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def write_numbers(evaluation: "Evaluation", inputs: "Inputs", run_id: str) -> None:
    """Write the metrics, and the flags of each class, with what made them."""
    origin, classes = inputs.origin, evaluation.classes
    weights = " ".join(each["weights_sha256"] for each in origin.networks)
    digests = {"weights_sha256": weights, "thresholds_sha256": origin.thresholds_sha256}
    made_by = {"run_id": run_id, **digests}
    write_json(REPORTS_DIR / "metrics.json", {"run_id": run_id, **evaluation.metrics})
    flags = dict(zip(classes["label"], classes["flags"], strict=True))
    write_json(CLASS_FLAGS_PATH, {"origin": origin.to_json(), **made_by, "classes": flags})


def log_results(evaluation: "Evaluation") -> None:
    """Draw the figures, and log them, the metrics, the tables, the reports and the flags."""
    from hpa.reports.figures import write_figures
    from hpa.reports.tables import logged_tables
    from hpa.tracking.stage_run import log_artifacts, log_image, log_metrics, log_tables

    figures = write_figures(evaluation, REPORTS_DIR / "figures")
    # A training logs the macro F1 of val each round, by thresholds that are cross-fitted.
    log_metrics({k: v for k, v in evaluation.metrics.items() if k != "val/macro_f1"})
    log_artifacts([REPORTS_DIR])
    log_artifacts([CLASS_FLAGS_PATH], "model")
    log_tables(logged_tables(evaluation), "evaluation")
    for path in figures:
        log_image(path, path.stem)


if __name__ == "__main__":
    command_line.run(main)
