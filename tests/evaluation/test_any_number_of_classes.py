"""Scores, thresholds, metrics and reports of 1, 5, 28 and 300 classes, by scikit-learn."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as oracle

import folds
from hpa.evaluation.paired_bootstrap import compare
from hpa.evaluation.report_data import Evaluation
from hpa.evaluation.submission import submission
from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.metrics.bootstrap import bootstrap_f1
from hpa.metrics.predictions import Scores
from hpa.metrics.ranking import rank_scores
from hpa.reports.figures import write_figures, write_tables
from hpa.reports.model_card import card_page, model_card
from hpa.reports.run_comparison import as_text
from hpa.reports.summary import summary
from hpa.reports.tables import false_prediction_table, logged_tables
from hpa.thresholds.fitting import fit_by_rule
from hpa.thresholds.rules import RULES
from hpa.thresholds.thresholds_file import read_thresholds, thresholds_digest, thresholds_to_json
from support.evaluations import FACTS, PROVENANCE, labels_of, scores, small_evaluation

SIZES = (1, 5, 28, 300)


@pytest.fixture(scope="module", params=SIZES)
def evaluation(request: pytest.FixtureRequest) -> Evaluation:
    return small_evaluation(labels_of(request.param))


def test_metrics_are_those_of_scikit_learn(evaluation: Evaluation) -> None:
    test, found = evaluation.test, evaluation.metrics
    truth, predicted, present = test.y_true, test.y_pred, test.y_true.any(axis=0)
    by_class = oracle.f1_score(truth.T, predicted.T, average="samples", zero_division=0)
    assert found["test/macro_f1"] == pytest.approx(by_class)
    assert found["test/micro_f1"] == pytest.approx(
        oracle.f1_score(truth.ravel(), predicted.ravel(), zero_division=0)
    )
    assert found["test/mean_average_precision"] == pytest.approx(
        np.mean([
            oracle.average_precision_score(t, p)
            for t, p in zip(truth.T[present], test.y_prob.T[present], strict=True)
        ])
    )  # fmt: skip
    n_classes = truth.shape[1]
    assert found["test/n_classes"] == n_classes == len(evaluation.classes)
    assert found["test/n_present_classes"] == present.sum() == max(1, n_classes - 1)
    assert found["test/macro_f1_present_classes"] == pytest.approx(
        found["test/macro_f1"] * n_classes / present.sum()
    )
    assert found["test/macro_f1_low"] <= found["test/macro_f1"] <= found["test/macro_f1_high"]


@pytest.mark.parametrize(
    ("rule", "n_classes"),
    [
        *((rule, n_classes) for rule in (*RULES, "selected") for n_classes in (1, 5, 28)),
        *((rule, 300) for rule in RULES),
        pytest.param("selected", 300, marks=pytest.mark.slow),
    ],
)
def test_every_rule_gives_each_class_a_threshold_with_its_own_f1(rule: str, n_classes: int) -> None:
    val = scores("val", 1, labels_of(n_classes))
    found = fit_by_rule(rule, val.labelled(), val.y_prob, val.labels, fixed=0.4, seed=0)
    assert found.values.shape == (n_classes,)
    assert set(found.plain) == {"fixed", "global", "sweep"}
    predicted = found.predict(val.y_prob)
    expected = [
        oracle.f1_score(t, p, zero_division=0)
        for t, p in zip(val.labelled().T, predicted.T, strict=True)
    ]
    np.testing.assert_allclose(found.fit_f1, expected)


@pytest.mark.parametrize("n_classes", [1, 5])
def test_the_joint_search_moves_all_classes_together_and_never_beats_the_sweep(
    n_classes: int,
) -> None:
    val = scores("val", 1, labels_of(n_classes))
    joint, sweep = (
        fit_by_rule(rule, val.labelled(), val.y_prob, val.labels, fixed=0.5, seed=0)
        for rule in ("joint", "sweep")
    )
    assert joint.values.shape == (n_classes,)
    assert joint.fit_macro_f1 == pytest.approx(sweep.fit_macro_f1)


@pytest.mark.parametrize("n_classes", SIZES)
def test_intervals_of_a_class_depend_on_no_other_class(n_classes: int) -> None:
    """A column alone has the replicates that it has among others."""
    val = scores("val", 1, labels_of(n_classes))
    y_true, groups = val.labelled(), np.arange(len(val))
    drawn = bootstrap_f1(y_true, (val.y_prob > 0.5).astype(np.uint8), groups, seed=1, n=50)
    assert drawn.by_class.shape == (50, n_classes)
    np.testing.assert_allclose(drawn.macro, drawn.by_class.mean(axis=1))
    assert rank_scores(y_true, val.y_prob).scores.shape == (n_classes, len(val))


def test_files_are_read_back_with_their_labels(evaluation: Evaluation, tmp_path: Path) -> None:
    labels, test = evaluation.test.labels, evaluation.test
    val = scores("val", 1, labels)
    val.write(tmp_path / "val.npz")
    test.write(tmp_path / "test.npz")
    document = thresholds_to_json(evaluation.thresholds)
    (tmp_path / "thresholds.json").write_text(json.dumps(document), encoding="utf-8")
    thresholds, beside = read_thresholds(tmp_path / "thresholds.json")
    found = Scores.read(tmp_path / "val.npz")
    for each in (found, EvaluatedSplit.read(tmp_path / "test.npz"), thresholds):
        assert each.labels == labels  # numbers, descriptions and colours as well
    assert found.digest() == val.digest()
    assert beside["origin"].thresholds_sha256 == thresholds_digest(evaluation.thresholds)


def test_the_submission_holds_the_numbers_of_labels_not_their_columns(
    evaluation: Evaluation,
) -> None:
    labels = evaluation.test.labels
    table = submission(np.array(["a"]), np.ones((1, len(labels)), np.uint8), labels)
    assert table["Predicted"][0] == " ".join(str(3 + 2 * column) for column in range(len(labels)))


def test_comparison_names_every_class(evaluation: Evaluation) -> None:
    test = evaluation.test
    found = compare(test.y_true, test.groups, test.y_pred, test.y_true, test.labels, 1, 50)
    text = as_text(found, "a", "b")
    assert all(f"\n{name} " in text for name in test.labels.names)


def test_tables_and_figures_are_drawn(evaluation: Evaluation, tmp_path: Path) -> None:
    n_classes, n_present = len(evaluation.classes), int(evaluation.test.y_true.any(axis=0).sum())
    write_tables(evaluation.tables, tmp_path)
    assert len((tmp_path / "classes.csv").read_text().splitlines()) == 1 + n_classes
    assert len(logged_tables(evaluation)["precision_recall"]) == 20 * n_present
    assert len(false_prediction_table(evaluation)) <= 40 * 40
    if n_classes in (1, 5):
        figures = write_figures(evaluation, tmp_path)
        assert len(figures) == (4 if n_classes == 1 else 5)
        assert all(path.stat().st_size < 300_000 for path in figures)


def test_the_summary_says_over_how_many_classes_macro_f1_is_taken(evaluation: Evaluation) -> None:
    n_classes = len(evaluation.classes)
    text = summary(evaluation)
    if n_classes == 1:
        assert text.startswith("F1 of Structure 0 on 60 test images: ")
        assert "macro F1" not in text
    else:
        assert text.startswith(
            f"macro F1 over {n_classes} classes, of which {n_classes - 1} have positives in test "
            f"(over these {evaluation.metrics['test/macro_f1_present_classes']:.3f}), on 60 test"
        )
    assert len(text) < 6000


def test_f1_of_one_class_is_not_called_a_mean(evaluation: Evaluation) -> None:
    test, by_fold = evaluation.test, [0.5, 0.25]
    decisions = test.y_true, test.groups, test.y_pred, test.y_pred
    compared = as_text(compare(*decisions, test.labels, 0, 20), "one", "other")
    for text in (compared, folds.summary(by_fold, evaluation.metrics)):
        assert (": macro F1 0." in text) == (len(test.labels) > 1) == ("macro" in text)
        assert (": F1 0." in text) == (len(test.labels) == 1)


def test_the_card_names_labels_and_channels(evaluation: Evaluation) -> None:
    card = model_card(evaluation, [PROVENANCE], FACTS)
    n_classes = len(evaluation.classes)
    assert "- labels: Structure 0" in card
    assert ("and 260 more" in card) == (n_classes == 300)
    assert "- channels: red (microtubules), green (protein), blue (nucleus), yellow" in card
    assert f"over {n_classes} classes" in card or n_classes == 1
    assert "1 classes" not in card
    assert len(card_page(card)) < 60_000
