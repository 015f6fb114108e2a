"""Report of the test results: one HTML page that needs neither network nor server."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hpa.errors import first_names
from hpa.evaluation.report_data import Evaluation
from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.reports.curves import METHODS, panel, precision_recall_curves, reliability_curves
from hpa.reports.gallery import read_gallery
from hpa.reports.heatmaps import plot_false_predictions
from hpa.reports.html import figure_uri, image_uri, render
from hpa.reports.run_facts import RunFacts, bar_share, bar_um
from hpa.reports.shown_classes import describe_part
from hpa.reports.training_curve import plot_losses, plot_macro_f1
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.labels import Labels

MAX_NAMES = 8
ROUNDS = (plot_losses, plot_macro_f1)
RULES = {
    "in force": "in use",
    "fixed": "0.5 for every class",
    "global": "one threshold for all classes",
    "sweep": "best threshold per class",
}


def report_page(
    evaluation: Evaluation, gallery_dir: Path, facts: RunFacts, channels: Channels
) -> str:
    """Return the page with the pictures that the explain stage wrote to `gallery_dir`."""
    note, gallery = read_gallery(gallery_dir)
    curves, test = precision_recall_curves(evaluation), evaluation.test
    axes, training = ("recall", "precision"), facts.histories
    side_um = facts.image_side_um
    return render(
        "report.html",
        title="Protein localisation: test results",
        evaluation=evaluation,
        facts=facts,
        metrics=evaluation.metrics,
        classes=evaluation.classes.to_dict("records"),
        labels=test.labels.labels,
        channels=channels.channels,
        describe_part=describe_part,
        n_groups=len(np.unique(test.groups)),
        rounds=[figure_uri(plot(training), kind="svg") for plot in ROUNDS if training],
        precision_recall={
            index: figure_uri(panel(draw, axes, size=1.8), kind="svg")
            for index, draw in curves.items()
        },
        reliability={
            method: figure_uri(panel(draw, ("predicted", "observed"), size=2.5), kind="svg")
            for method, draw in reliability_curves(evaluation).items()
        },
        false_predictions=_false_predictions(test),
        gallery=gallery,
        gallery_note=note,
        pictures={each.file: _picture(gallery_dir / each.file, side_um) for each in gallery},
        um=bar_um(side_um) if side_um else None,
        names=partial(_names, test.labels),
        RULES=RULES,
        METHODS=METHODS,
    )


def _names(labels: Labels, columns: Sequence[int]) -> str:
    """Name labels, of which a poor model may predict all; at most MAX_NAMES of them."""
    return first_names([labels.names[column] for column in columns], MAX_NAMES) or "none"


def _false_predictions(test: EvaluatedSplit) -> str:
    """Draw the heat map; "" for a single class, which has no pairs."""
    if len(test.labels) == 1:
        return ""
    return figure_uri(plot_false_predictions(test.y_true, test.y_pred, test.labels), kind="svg")


def _picture(path: Path, side_um: float | None) -> dict[str, Any]:
    """Return a picture of square panels as a data URI, and the share of its width for a bar."""
    content = path.read_bytes()
    pixels = np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR))
    return {"uri": image_uri(content, kind="jpeg"), "bar": bar_share(pixels, side_um)}
