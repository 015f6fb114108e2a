"""Figure and table files for MLflow and DVC.

Figures are matplotlib `Figure` objects (no pyplot, so no global state and no window); the same
evaluation gives the same PNG bytes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hpa.evaluation.report_data import Evaluation
from hpa.reports.class_figures import plot_f1_by_class, plot_thresholds
from hpa.reports.curves import plot_calibration, plot_precision_recall
from hpa.reports.heatmaps import plot_false_predictions
from hpa.reports.style import house_style
from hpa.system.files import atomic_path


def write_figures(evaluation: Evaluation, figures_dir: Path) -> list[Path]:
    """Write each figure atomically as PNG and return the paths."""
    test, classes = evaluation.test, evaluation.classes
    figures: dict[str, Callable[[], Figure]] = {
        "f1_by_class": lambda: plot_f1_by_class(classes, evaluation.metrics["test/macro_f1"]),
        "false_predictions": lambda: plot_false_predictions(test.y_true, test.y_pred, test.labels),
        "thresholds": lambda: plot_thresholds(classes),
        "precision_recall": lambda: plot_precision_recall(evaluation),
        "calibration": lambda: plot_calibration(evaluation),
    }
    if len(classes) == 1:  # which is confused with no other
        del figures["false_predictions"]
    paths = [figures_dir / f"{name}.png" for name in figures]
    for path, draw in zip(paths, figures.values(), strict=True):
        with house_style(), atomic_path(path) as temporary:
            draw().savefig(temporary, format="png", metadata={"Software": None})
    return paths


def write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write each table atomically as `<name>.csv`; NaN is an empty cell."""
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6f")
