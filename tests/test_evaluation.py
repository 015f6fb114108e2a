"""The evaluation: headline numbers by hand, splits that must not be compared, Kaggle's file."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from hpa.errors import UserError
from hpa.evaluation import Evaluation, evaluate_splits, submission
from hpa.labels import LABELS, N_LABELS
from hpa.scoring.scores import Scores
from hpa.scoring.thresholds import fit_thresholds


def make_scores(name: str, seed: int, n_rows: int = 60, run_id: str = "run7") -> Scores:
    """Informative scores; the last class has no positives."""
    random = np.random.default_rng(seed)
    y_true = (random.random((n_rows, N_LABELS)) < np.linspace(0.5, 0.1, N_LABELS)).astype(np.uint8)
    y_true[:, -1] = 0
    y_prob = 0.3 * y_true + 0.7 * random.random(y_true.shape)
    ids = np.array([f"{name}-{row}" for row in range(n_rows)])
    return Scores(ids, y_true, y_prob.astype(np.float32), run_id)


def evaluate(val: Scores, test: Scores) -> Evaluation:
    return evaluate_splits(val, test, fit_thresholds(val.labelled(), val.y_prob))


def macro(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return float(f1_score(y_true, y_pred, average="macro", zero_division=0))


def test_headline_metrics_agree_with_scikit_learn() -> None:
    val, test = make_scores("val", 1), make_scores("test", 2)
    evaluation = evaluate(val, test)
    truth, predicted = test.labelled(), evaluation.thresholds.predict(test.y_prob)
    constant = np.tile(val.labelled().any(axis=0).astype(np.uint8), (len(test), 1))
    expected = {
        "test/macro_f1": macro(truth, predicted),
        "test/micro_f1": f1_score(truth, predicted, average="micro", zero_division=0),
        "test/constant_macro_f1": macro(truth, constant),
        "test/macro_f1_at_half": macro(truth, test.y_prob >= 0.5),
        "val/macro_f1": evaluation.thresholds.fit_macro_f1,
    }
    for name, value in expected.items():
        assert evaluation.metrics[name] == pytest.approx(value), name


def test_metrics_are_plain_finite_numbers_named_by_split() -> None:
    metrics = evaluate(make_scores("val", 1), make_scores("test", 2)).metrics
    assert all(type(value) is float and 0 <= value <= 1 for value in metrics.values())
    assert all(name.split("/")[0] in ("val", "test") for name in metrics)


def test_row_order_changes_no_metric() -> None:
    val, test = make_scores("val", 1), make_scores("test", 2)
    order = np.random.default_rng(0).permutation(len(test))
    shuffled = Scores(test.ids[order], test.labelled()[order], test.y_prob[order], "run7")
    assert evaluate(val, shuffled).metrics == evaluate(val, test).metrics


def test_the_class_table_has_one_row_a_label_and_its_mean_is_macro_f1() -> None:
    evaluation = evaluate(make_scores("val", 1), make_scores("test", 2))
    classes = evaluation.classes
    assert tuple(classes["label"]) == LABELS
    assert classes["f1"].mean() == pytest.approx(evaluation.metrics["test/macro_f1"])
    assert classes["constant_f1"].mean() == pytest.approx(
        evaluation.metrics["test/constant_macro_f1"]
    )
    assert classes["support"].tolist() == evaluation.test.labelled().sum(axis=0).tolist()
    assert not classes.isna().any(axis=None)


def test_the_class_table_survives_csv() -> None:
    classes = evaluate(make_scores("val", 1), make_scores("test", 2)).classes
    again = pd.read_csv(io.StringIO(classes.to_csv(index=False)), keep_default_na=False)
    pd.testing.assert_frame_equal(again, classes, check_dtype=False, check_exact=True)


def test_classes_without_evidence_are_noted() -> None:
    classes = evaluate(make_scores("val", 1), make_scores("test", 2)).classes
    assert classes["note"].iloc[-1] == "val: no positives; test: no positives"
    assert classes["note"].iloc[0] == ""
    few = classes[classes["support"].between(1, 9)]
    assert len(few)
    assert few["note"].str.contains("test: fewer than 10 positives").all()


def test_images_on_both_sides_are_refused() -> None:
    val, test = make_scores("val", 1), make_scores("test", 2)
    ids = test.ids.copy()
    ids[5] = "val-9"
    with pytest.raises(UserError, match=r"share images(.|\n)*1 shared, such as 'val-9'"):
        evaluate(val, replace(test, ids=ids))


def test_scores_of_two_models_are_refused() -> None:
    with pytest.raises(UserError, match=r"different models(.|\n)*run7(.|\n)*run8"):
        evaluate(make_scores("val", 1), make_scores("test", 2, run_id="run8"))


def test_scores_of_unknown_runs_are_accepted() -> None:
    assert evaluate(make_scores("val", 1), make_scores("test", 2, run_id="")).metrics


def test_an_unlabelled_test_split_is_refused() -> None:
    with pytest.raises(UserError, match=r"test cannot be judged"):
        evaluate(make_scores("val", 1), replace(make_scores("test", 2), y_true=None))


def test_a_submission_is_in_kaggles_format() -> None:
    y_pred = np.zeros((3, N_LABELS), dtype=np.uint8)
    y_pred[0, [25, 0]] = 1
    y_pred[2, 7] = 1
    table = submission(np.array(["a", "b", "c"]), y_pred)
    assert table.to_csv(index=False) == "Id,Predicted\na,0 25\nb,\nc,7\n"


def test_a_submission_with_too_few_ids_is_refused() -> None:
    with pytest.raises(UserError, match=r"ids and y_pred(.|\n)*\(2, 28\)(.|\n)*\(3, 28\)"):
        submission(np.array(["a", "b"]), np.zeros((3, N_LABELS), dtype=np.uint8))
