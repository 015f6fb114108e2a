"""Comparison of two runs: lookup, data check, text and JSON."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpa.errors import UserError
from hpa.evaluation.paired_bootstrap import compare
from hpa.evaluation.test_predictions import EvaluatedSplit, check_same_data
from hpa.metrics.origins import Origin
from hpa.reports.run_comparison import as_json, as_text, find_predictions
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import Labels


def make_predictions(n: int = 40) -> EvaluatedSplit:
    random = np.random.default_rng(0)
    y_true = random.integers(0, 2, (n, 28), dtype=np.uint8)
    y_true[:, -1] = 0
    y_prob = random.random((n, 28)).astype(np.float32)
    ids = np.array([f"cell-{row:02d}" for row in range(n)])
    y_pred = (y_prob > 0.5).astype(np.uint8)
    return EvaluatedSplit(ids, np.arange(n) // 2, y_true, y_prob, y_pred, hpa2018.LABELS, "run7")


def test_predictions_are_found_by_folder_or_file(tmp_path: Path) -> None:
    predictions = make_predictions()
    predictions.write(tmp_path / "reports" / "test_predictions.npz")
    for name in (tmp_path, tmp_path / "reports", tmp_path / "reports" / "test_predictions.npz"):
        found = find_predictions(str(name))
        assert found.run_id == "run7"
        for key in ("ids", "groups", "y_true", "y_prob", "y_pred"):
            np.testing.assert_array_equal(getattr(found, key), getattr(predictions, key))


def test_row_order_and_group_numbers_do_not_matter() -> None:
    predictions = make_predictions()
    order = np.random.default_rng(1).permutation(40)
    keys = ("ids", "groups", "y_true", "y_prob", "y_pred")
    other = replace(predictions, **{key: getattr(predictions, key)[order] for key in keys})
    other = replace(other, groups=1000 - other.groups)
    a, b = check_same_data(predictions, other)
    np.testing.assert_array_equal(a.y_prob, b.y_prob)
    np.testing.assert_array_equal(a.groups, b.groups)
    assert predictions.digest() == other.digest()


def test_different_images_labels_or_groups_are_rejected() -> None:
    predictions = make_predictions()
    ids = np.where(predictions.ids == "cell-07", "cell-99", predictions.ids)
    with pytest.raises(UserError, match=r"1 images only in A, 1 only in B, such as 'cell-07'"):
        check_same_data(predictions, replace(predictions, ids=ids))
    y_true = predictions.y_true.copy()
    y_true[3, 4] ^= 1
    with pytest.raises(UserError, match=r"other labels for 1 of 40 images, such as 'cell-03'"):
        check_same_data(predictions, replace(predictions, y_true=y_true))
    groups = predictions.groups.copy()
    groups[9] = 99
    with pytest.raises(UserError, match=r"in other groups, such as 'cell-09'"):
        check_same_data(predictions, replace(predictions, groups=groups))


def test_text_and_json_agree() -> None:
    a = make_predictions()
    b = replace(a, y_pred=a.y_true)
    found = compare(a.y_true, a.groups, a.y_pred, b.y_pred, a.labels, 1, 100)
    document = json.loads(json.dumps(as_json(found, a, b), allow_nan=False))
    text = as_text(found, "one", "two")
    assert f"B minus A: {document['difference']:+.3f}" in text
    assert "resampled in 20 groups" in text
    assert document["classes"]["Rods & rings"]["interval"] == [None, None]
    assert len(text.splitlines()) == 6 + 28


def test_runs_of_other_labels_are_refused_with_the_difference() -> None:
    a = make_predictions()
    names = [*hpa2018.LABELS.names[:-1], "Vesicles"]
    with pytest.raises(UserError) as caught:
        check_same_data(a, replace(a, labels=Labels.named(names)))
    assert "run A and run B are of different vocabularies" in str(caught.value)
    assert "without 1: Rods & rings; in addition 1: Vesicles" in str(caught.value)
    turned = Labels.named(reversed(hpa2018.LABELS.names))
    with pytest.raises(UserError, match="the same labels in another order"):
        check_same_data(a, replace(a, labels=turned))


def test_runs_of_other_channels_are_refused_but_not_other_words_for_the_same() -> None:
    same = hpa2018.CHANNELS.to_json()
    stated = {"fetch.source": "local", "fetch.labels": "hpa2018", "fetch.path": "x"}
    a = replace(make_predictions(), origin=Origin(params=stated))
    again = stated | {"fetch.labels": "mine.csv", "fetch.channels": same, "fetch.path": "y"}
    check_same_data(a, replace(a, origin=Origin(params=again)))
    for fewer in (again | {"fetch.channels": same[:3]}, again | {"fetch.channels": same[::-1]}):
        with pytest.raises(UserError, match=r"channels .* instead of red, green, blue"):
            check_same_data(a, replace(a, origin=Origin(params=fewer)))
