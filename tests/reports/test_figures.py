"""Figures and the terminal summary."""

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from hpa.config.sections import Evaluate
from hpa.evaluation.report_data import Evaluation, evaluate_splits
from hpa.metrics.predictions import Scores
from hpa.reports.class_figures import plot_f1_by_class, plot_thresholds
from hpa.reports.curves import plot_precision_recall
from hpa.reports.figures import write_figures
from hpa.reports.heatmaps import most_paired, pair_shares, plot_false_predictions
from hpa.reports.html import figure_uri
from hpa.reports.style import house_style
from hpa.reports.summary import summary
from hpa.thresholds.fitting import fit_by_rule
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import Labels
from support.evaluations import small_evaluation
from support.paths import ROOT

LABELS = hpa2018.LABELS.names
N_LABELS = len(LABELS)

SETTINGS = Evaluate(min_support=10, n_bootstrap=200, seed=3, image_side_um=None)


def make_scores(name: str, seed: int, n_rows: int = 60) -> Scores:
    """Return informative scores; the last class has no positives."""
    random = np.random.default_rng(seed)
    y_true = (random.random((n_rows, N_LABELS)) < np.linspace(0.5, 0.1, N_LABELS)).astype(np.uint8)
    y_true[:, -1] = 0
    y_prob = 0.3 * y_true + 0.7 * random.random(y_true.shape)
    ids = np.array([f"{name}-{row}" for row in range(n_rows)])
    return Scores(ids, y_true, y_prob.astype(np.float32), hpa2018.LABELS)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    val, test = make_scores("val", 1), make_scores("test", 2)
    ids = np.concatenate([val.ids, test.ids])
    facts = pd.DataFrame(
        {"group": range(len(ids)), "brightness": np.arange(len(ids)) * 1.0}, index=ids
    )
    thresholds = fit_by_rule("sweep", val.labelled(), val.y_prob, val.labels, fixed=0.5, seed=0)
    return evaluate_splits(val, test, thresholds, facts, SETTINGS)


def test_false_prediction_shares_match_a_table_computed_by_hand() -> None:
    y_true = np.array([[1, 0, 0], [1, 1, 0]], dtype=np.uint8)
    y_pred = np.array([[0, 1, 0], [1, 1, 1]], dtype=np.uint8)
    # Label 0 (2 images): 1 falsely in row 0, 2 falsely in row 1. Label 1 (1 image): 2 in row 1.
    shares, support = pair_shares(y_true, y_pred > y_true)
    assert shares.tolist() == [[0, 1 / 2, 1 / 2], [0, 0, 1], [0, 0, 0]]
    assert support.tolist() == [2, 1, 0]


def test_the_f1_chart_has_one_bar_per_class_with_the_best_on_top(evaluation: Evaluation) -> None:
    axes = plot_f1_by_class(evaluation.classes, evaluation.metrics["test/macro_f1"]).axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert sorted(names) == sorted(LABELS)
    assert names[-1] == evaluation.classes.set_index("label")["f1"].idxmax()
    widths = [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert widths == sorted(evaluation.classes["f1"])


def test_the_threshold_chart_puts_the_rarest_class_on_top(evaluation: Evaluation) -> None:
    axes = plot_thresholds(evaluation.classes).axes[0]
    assert axes.get_yticklabels()[-1].get_text() == LABELS[-1]


def test_the_precision_recall_grid_has_one_panel_per_class(evaluation: Evaluation) -> None:
    panels = plot_precision_recall(evaluation).axes
    assert [panel.get_title(loc="left").split("\n")[0] for panel in panels] == list(LABELS)
    assert panels[-1].texts[0].get_text() == "no positives"


def test_the_chosen_threshold_is_on_the_curve(evaluation: Evaluation) -> None:
    panel = plot_precision_recall(evaluation).axes[0]
    point = np.asarray(panel.collections[0].get_offsets())[0]
    curve = np.asarray(panel.lines[0].get_xydata())
    assert np.abs(curve - point).sum(axis=1).min() < 1e-12


def test_false_predictions_can_be_drawn_without_any_prediction() -> None:
    empty = np.zeros((5, N_LABELS), dtype=np.uint8)
    assert plot_false_predictions(empty, empty, hpa2018.LABELS).axes


@pytest.mark.slow
def test_figures_are_reproducible_byte_for_byte(evaluation: Evaluation, tmp_path: Path) -> None:
    first = write_figures(evaluation, tmp_path / "first")
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 10}):
        second = write_figures(evaluation, tmp_path / "second")
    assert [path.name for path in first] == [
        "f1_by_class.png",
        "false_predictions.png",
        "thresholds.png",
        "precision_recall.png",
        "calibration.png",
    ]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        with Image.open(one) as image:
            assert image.width >= 900
            assert image.info.keys() <= {"dpi"}


def test_drawing_keeps_the_settings_of_matplotlib(evaluation: Evaluation) -> None:
    before = dict(matplotlib.rcParams)
    plot_thresholds(evaluation.classes)
    assert dict(matplotlib.rcParams) == before


def test_the_summary_has_score_constant_and_quality_flags(evaluation: Evaluation) -> None:
    text = summary(evaluation)
    metrics = evaluation.metrics
    present = evaluation.classes["f1"][:-1].mean()  # the last has no positives
    assert text.startswith(
        "macro F1 over 28 classes, of which 27 have positives in test (over these "
        f"{present:.3f}), on 60 test images: {metrics['test/macro_f1']:.3f} (95%: "
    )
    assert f"{metrics['test/macro_f1_of_constant']:.3f}" in text
    ratio = metrics["test/macro_f1"] / metrics["test/macro_f1_of_constant"]
    assert f"macro F1 is {ratio:.1f} times as high" in text
    assert "val: no positives; test: no positives: Rods & rings" in text


def test_reports_load_neither_keras_nor_mlflow() -> None:
    script = (
        "import sys, hpa.reports.figures, hpa.reports.test_report, hpa.reports.model_card; "
        "print([name for name in ('tensorflow', 'keras', 'mlflow', 'matplotlib.pyplot', 'sklearn')"
        " if name in sys.modules])"
    )
    source_dir = ROOT / "src"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=source_dir, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("n_classes", [2, 45])
def test_names_of_any_length_and_with_dollar_signs_are_drawn(
    n_classes: int, tmp_path: Path
) -> None:
    """matplotlib reads text between dollar signs as formulas, and warns if no room is left."""
    labels = Labels.named(f"{number} $\\frac$ {'long ' * 12}x" for number in range(n_classes))
    evaluation = small_evaluation(labels)
    assert len(write_figures(evaluation, tmp_path)) == 5
    axes = plot_f1_by_class(evaluation.classes, 0.5).axes[0]
    assert all(len(text.get_text()) == 40 for text in axes.get_yticklabels())
    shares, support = pair_shares(evaluation.test.y_true, evaluation.test.y_true)
    assert len(most_paired(shares, support)) == min(n_classes, 40)


@pytest.mark.parametrize("name", ["細胞核", "جدار", "A\u0378"])
def test_a_name_in_a_script_without_a_font_is_drawn_without_a_warning(name: str) -> None:
    """Warnings are errors here."""
    with house_style():
        figure = Figure(layout="constrained")
        figure.subplots().set_xticks([0, 1], [name, "x"])
    assert figure_uri(figure, kind="svg").startswith("data:image/svg+xml,")
