"""Evaluation: headline metrics against scikit-learn, tables, refused splits, submission file."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from hpa.config.sections import Evaluate
from hpa.errors import UserError
from hpa.evaluation.report_data import Evaluation, evaluate_splits
from hpa.evaluation.submission import submission, unlabelled_submission
from hpa.metrics.predictions import Scores
from hpa.thresholds.decisions import Thresholds, decide
from hpa.thresholds.fitting import fit_by_rule
from hpa.thresholds.shown import fit_shown_scale
from hpa.vocabulary import hpa2018

LABELS = hpa2018.LABELS.names
N_LABELS = len(LABELS)


def make_scores(name: str, seed: int, n_rows: int = 60, run_id: str = "run7") -> Scores:
    """Informative scores; the last class has no positives."""
    random = np.random.default_rng(seed)
    y_true = (random.random((n_rows, N_LABELS)) < np.linspace(0.5, 0.1, N_LABELS)).astype(np.uint8)
    y_true[:, -1] = 0
    y_prob = 0.3 * y_true + 0.7 * random.random(y_true.shape)
    ids = np.array([f"{name}-{row}" for row in range(n_rows)])
    return Scores(ids, y_true, y_prob.astype(np.float32), hpa2018.LABELS, run_id)


SETTINGS = Evaluate(min_support=10, n_bootstrap=200, seed=3, image_side_um=None)


def facts_of(*splits: Scores) -> pd.DataFrame:
    """Return one group per image, and brightness that grows with the row."""
    ids = np.unique(np.concatenate([scores.ids for scores in splits]))
    return pd.DataFrame(
        {"group": range(len(ids)), "brightness": np.arange(len(ids)) * 1.0}, index=ids
    )


def swept(val: Scores) -> Thresholds:
    return fit_by_rule("sweep", val.labelled(), val.y_prob, val.labels, fixed=0.5, seed=0)


def evaluate(val: Scores, test: Scores, settings: Evaluate = SETTINGS) -> Evaluation:
    return evaluate_splits(val, test, swept(val), facts_of(val, test), settings)


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
        "test/macro_f1_of_constant": macro(truth, constant),
        "test/macro_f1_at_half": macro(truth, test.y_prob >= 0.5),
        "test/weighted_f1": f1_score(truth, predicted, average="weighted", zero_division=0),
        "test/sample_f1": f1_score(truth, predicted, average="samples", zero_division=0),
        "test/mean_average_precision": average_precision_score(truth[:, :-1], test.y_prob[:, :-1]),
        "test/macro_roc_auc": roc_auc_score(truth[:, :-1], test.y_prob[:, :-1]),
        "val/macro_f1": evaluation.thresholds.fit_macro_f1,
    }
    for name, value in expected.items():
        assert evaluation.metrics[name] == pytest.approx(value), name


def test_metrics_are_plain_finite_numbers_named_by_split() -> None:
    evaluation = evaluate(make_scores("val", 1), make_scores("test", 2))
    for name, value in evaluation.metrics.items():
        assert type(value) is float, name
        assert np.isfinite(value), name
        assert name.startswith(("val/", "test/"))
    assert evaluation.metrics["test/n_doubtful_classes"] == len(evaluation.flagged)


def test_the_first_metric_of_the_alphabet_is_the_headline() -> None:
    evaluation = evaluate(make_scores("val", 1), make_scores("test", 2))
    assert min(evaluation.metrics) == "test/macro_f1"


def test_undefined_metrics_are_left_out() -> None:
    test = make_scores("test", 2)
    unlabelled = replace(test, y_true=np.zeros_like(test.labelled()))
    metrics = evaluate(make_scores("val", 1), unlabelled).metrics
    assert metrics["test/macro_f1"] == 0
    undefined = {"mean_average_precision", "macro_roc_auc", "macro_f1_trusted_classes"}
    assert not undefined & {name.removeprefix("test/") for name in metrics}


def test_row_order_changes_no_metric() -> None:
    val, test = make_scores("val", 1), make_scores("test", 2)
    order = np.random.default_rng(0).permutation(len(test))
    shuffled = Scores(
        test.ids[order], test.labelled()[order], test.y_prob[order], test.labels, "run7"
    )
    expected = evaluate(val, test).metrics
    assert evaluate(val, shuffled).metrics == pytest.approx(expected)


def test_the_class_table_has_one_row_per_label_and_its_mean_is_macro_f1() -> None:
    evaluation = evaluate(make_scores("val", 1), make_scores("test", 2))
    classes = evaluation.classes
    assert tuple(classes["label"]) == LABELS
    assert classes["f1"].mean() == pytest.approx(evaluation.metrics["test/macro_f1"])
    assert classes["constant_f1"].mean() == pytest.approx(
        evaluation.metrics["test/macro_f1_of_constant"]
    )
    assert classes["support"].tolist() == evaluation.test.y_true.sum(axis=0).tolist()
    absent = classes["support"] == 0
    assert not classes[~absent].isna().any(axis=None)
    assert classes.loc[absent, ["f1_low", "average_precision", "roc_auc"]].isna().all(axis=None)


def test_the_class_table_survives_csv() -> None:
    classes = evaluate(make_scores("val", 1), make_scores("test", 2)).classes
    again = pd.read_csv(
        io.StringIO(classes.to_csv(index=False)),
        na_values={name: "" for name in classes if name not in ("note", "flags")},
        keep_default_na=False,
    )
    pd.testing.assert_frame_equal(again, classes, check_dtype=False, check_exact=True)


def test_classes_with_little_evidence_are_flagged() -> None:
    classes = evaluate(make_scores("val", 1), make_scores("test", 2)).classes
    assert classes["note"].iloc[-1] == "val: no positives; test: no positives"
    assert classes["note"].iloc[0] == ""
    few = classes[classes["support"].between(1, 9)]
    assert len(few)
    assert few["note"].str.contains("test: fewer than 10 positives").all()


def test_a_class_no_better_than_a_constant_is_flagged_but_has_enough_evidence() -> None:
    val, test = make_scores("val", 1), make_scores("test", 2)
    random = np.random.default_rng(3)
    y_prob = test.y_prob.copy()
    y_prob[:, 0] = random.random(len(test))  # the first class by chance
    classes = evaluate(val, replace(test, y_prob=y_prob)).classes
    first = classes.iloc[0]
    assert first["f1_low"] <= first["constant_f1"]
    assert first["note"] == ""
    assert first["flags"] == "test: not clearly better than a constant prediction"
    weak = (classes["f1_low"] <= classes["constant_f1"]) | classes["f1_low"].isna()
    assert (classes["flags"] != "").equals(weak | (classes["note"] != ""))


def test_shown_thresholds_and_errors_are_calibrated_and_no_decision_changes() -> None:
    val, test = make_scores("val", 1, 300), make_scores("test", 2, 300)
    plain = fit_by_rule("sweep", val.labelled(), val.y_prob, val.labels, fixed=0.5, seed=0)
    shown = replace(plain, shown_scale=fit_shown_scale(val.y_true, val.y_prob, None, seed=0))
    assert shown.shown_scale.method == "temperature"
    before, after = (
        evaluate_splits(val, test, each, facts_of(val, test), SETTINGS) for each in (plain, shown)
    )
    assert (
        after.metrics["test/probability_calibration_error"]
        < before.metrics["test/probability_calibration_error"]
    )
    of_scores = "test/probability_calibration_error_of_scores"
    assert after.metrics[of_scores] == before.metrics["test/probability_calibration_error"]
    np.testing.assert_array_equal(after.test.y_pred, before.test.y_pred)
    np.testing.assert_allclose(after.classes["threshold"], shown.shown_values)
    inside = after.classes["threshold"].between(
        after.classes["threshold_low"], after.classes["threshold_high"]
    )
    assert inside.sum() > 20  # on the same scale as the threshold
    (method,) = set(after.tables["reliability"]["method"])
    assert method == "temperature"


def test_one_or_two_positives_per_class_give_no_interval_of_macro_f1_but_a_reason() -> None:
    val = make_scores("val", 1)
    y_true = np.tile(np.eye(N_LABELS, dtype=np.uint8), (2, 1))[:40]
    random = np.random.default_rng(0)
    y_prob = (0.2 * y_true + 0.8 * random.random(y_true.shape)).astype(np.float32)
    test = Scores(
        np.array([f"test-{row}" for row in range(40)]), y_true, y_prob, hpa2018.LABELS, "run7"
    )
    evaluation = evaluate(val, test)
    assert evaluation.too_few == "fewer than 5 independent images for each of 28 classes"
    assert "test/macro_f1_low" not in evaluation.metrics
    low, high = (evaluation.metrics[f"test/sample_f1_{end}"] for end in ("low", "high"))
    assert low <= evaluation.metrics["test/sample_f1"] <= high
    classes = evaluation.classes
    assert classes["f1"].between(classes["f1_low"], classes["f1_high"]).all()


def test_images_in_both_splits_are_refused() -> None:
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
    with pytest.raises(UserError, match=r"test cannot be evaluated"):
        evaluate(make_scores("val", 1), replace(make_scores("test", 2), y_true=None))


def test_a_submission_is_in_kaggles_format() -> None:
    y_pred = np.zeros((3, N_LABELS), dtype=np.uint8)
    y_pred[0, [25, 0]] = 1
    y_pred[2, 7] = 1
    table = submission(np.array(["a", "b", "c"]), y_pred, hpa2018.LABELS)
    assert table.to_csv(index=False) == "Id,Predicted\na,0 25\nb,\nc,7\n"


def test_a_submission_with_too_few_ids_is_refused() -> None:
    with pytest.raises(ValueError, match=r"y_pred must have shape \(2, 28\), got \(3, 28\)"):
        submission(np.array(["a", "b"]), np.zeros((3, N_LABELS), dtype=np.uint8), hpa2018.LABELS)


def test_the_interval_holds_the_score_and_narrows_with_more_images() -> None:
    val, test = make_scores("val", 1), make_scores("test", 2)
    few, many = evaluate(val, test).metrics, evaluate(val, make_scores("test", 2, 600)).metrics
    widths = []
    for metrics in (few, many):
        low, high = metrics["test/micro_f1_low"], metrics["test/micro_f1_high"]
        assert low < metrics["test/micro_f1"] < high
        widths.append(high - low)
    assert widths[1] < 0.5 * widths[0]  # ten times the images: about a third


def test_an_image_without_a_group_is_refused() -> None:
    val, test = make_scores("val", 1), make_scores("test", 2)
    thresholds = fit_by_rule("sweep", val.labelled(), val.y_prob, val.labels, fixed=0.5, seed=0)
    with pytest.raises(UserError, match=r"60 unknown, such as 'test-0'"):
        evaluate_splits(val, test, thresholds, facts_of(val), SETTINGS)


def test_a_higher_min_support_makes_more_classes_doubtful() -> None:
    val, test = make_scores("val", 1), make_scores("test", 2)
    strict = replace(SETTINGS, min_support=25)
    doubtful = set(evaluate(val, test, strict).flagged["label"])
    assert doubtful > set(evaluate(val, test).flagged["label"])
    truth = test.labelled().sum(axis=0)
    assert doubtful >= {LABELS[index] for index in np.flatnonzero(truth < 25)}


def test_filled_rows_count_in_the_metrics_and_none_is_empty() -> None:
    val, test = make_scores("val", 1), make_scores("test", 2)
    thresholds = replace(
        fit_by_rule("sweep", val.labelled(), val.y_prob, val.labels, fixed=0.5, seed=0),
        values=np.full(28, 0.97),
    )
    made = {
        fill: evaluate_splits(
            val, test, replace(thresholds, fill_empty=fill), facts_of(val, test), SETTINGS
        )
        for fill in (False, True)
    }
    assert made[False].metrics["test/no_label_fraction"] > 0
    assert made[True].metrics["test/no_label_fraction"] == 0
    filled = made[False].empty.query("split == 'test' and empty == 'likeliest taken'")
    assert made[True].metrics["test/macro_f1"] == pytest.approx(filled["macro_f1"].item())


def test_every_rule_has_its_optimism() -> None:
    evaluation = evaluate(make_scores("val", 1), make_scores("test", 2))
    rules = evaluation.rules.set_index("rule")
    assert rules.loc["in force", "test"] == pytest.approx(evaluation.metrics["test/macro_f1"])
    assert rules.loc["fixed", "test"] == pytest.approx(evaluation.metrics["test/macro_f1_at_half"])
    np.testing.assert_allclose(rules["optimism_fit"], rules["fit"] - rules["test"])


def test_several_sources_are_slices_of_the_test_images_and_one_is_none() -> None:
    val, test = make_scores("val", 1), make_scores("test", 2)
    facts = facts_of(val, test)
    sources = np.where(np.arange(len(facts)) % 3, "plate8", "plate7")
    found = evaluate_splits(val, test, swept(val), facts.assign(source=sources), SETTINGS).slices
    rows = found[found["kind"] == "source"].set_index("slice")
    of_test = facts.assign(source=sources).loc[test.ids, "source"].value_counts()
    assert rows["n_images"].to_dict() == of_test.to_dict()
    one = evaluate_splits(val, test, swept(val), facts.assign(source="plate7"), SETTINGS).slices
    pd.testing.assert_frame_equal(one, found[found["kind"] != "source"])


def test_a_submission_of_several_sources_has_the_competition_s_images_alone(
    tmp_path: Path,
) -> None:
    val, unlabelled = make_scores("val", 1), make_scores("unlabelled", 3)
    unlabelled.write(tmp_path / "unlabelled.npz")
    own, mine = list(unlabelled.ids[::2]), list(unlabelled.ids[1::2])
    images = pd.Series(own, index=own)
    table = unlabelled_submission(tmp_path / "unlabelled.npz", swept(val), images)
    everything = unlabelled_submission(tmp_path / "unlabelled.npz", swept(val))
    assert list(table["Id"]) == own
    assert set(everything["Id"]) == {*own, *mine}


def test_a_submission_has_one_row_per_field_merged_as_in_prediction(tmp_path: Path) -> None:
    val, tiles = make_scores("val", 1), make_scores("unlabelled", 3, n_rows=6)
    tiles.write(tmp_path / "unlabelled.npz")
    fields = pd.Series(["long", "short", "long", "wide", "long", "wide"], index=tiles.ids)
    thresholds = replace(swept(val), fill_empty=True)
    table = unlabelled_submission(tmp_path / "unlabelled.npz", thresholds, fields)
    assert table["Id"].tolist() == ["long", "short", "wide"]
    of_long = expit(logit(tiles.y_prob[[0, 2, 4]].astype(float)).mean(axis=0))
    present = decide(thresholds, of_long[None].astype(np.float32))[0]
    assert table["Predicted"][0] == " ".join(map(str, np.flatnonzero(present)))
