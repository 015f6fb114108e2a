"""Report of the test results: one HTML page that needs neither network nor server."""

from pathlib import Path

import numpy as np

from hpa.evaluation.report_data import Evaluation
from hpa.labels import LABELS
from hpa.reports.curves import METHODS, panel, precision_recall_curves, reliability_curves
from hpa.reports.gallery import read_gallery
from hpa.reports.html import figure_uri, image_uri, render

RULES = {
    "in force": "in use",
    "fixed": "0.5 for every class",
    "global": "one threshold for all classes",
    "sweep": "best threshold per class",
}


def report_page(evaluation: Evaluation, gallery_dir: Path) -> str:
    """Return the page with the pictures that the explain stage wrote to `gallery_dir`."""
    note, gallery = read_gallery(gallery_dir)
    curves = precision_recall_curves(evaluation)
    return render(
        "report.html",
        title="Protein localisation: test results",
        evaluation=evaluation,
        metrics=evaluation.metrics,
        classes=evaluation.classes.to_dict("records"),
        n_groups=len(np.unique(evaluation.test.groups)),
        precision_recall=[figure_uri(panel(draw, size=1.5), kind="svg") for draw in curves],
        reliability={
            method: figure_uri(panel(draw, size=2.5), kind="svg")
            for method, draw in reliability_curves(evaluation).items()
        },
        gallery=gallery,
        gallery_note=note,
        pictures={
            each.file: image_uri((gallery_dir / each.file).read_bytes(), kind="jpeg")
            for each in gallery
        },
        names=lambda labels: ", ".join(LABELS[label] for label in labels) or "none",
        LABELS=LABELS,
        RULES=RULES,
        METHODS=METHODS,
    )
