"""Two runs side by side: found by folder or file, refused where their data differ."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpa.errors import UserError
from hpa.evaluation.paired_bootstrap import compare
from hpa.evaluation.test_predictions import EvaluatedSplit, check_same_data
from hpa.reports.run_comparison import as_json, as_text, find_judged


def make_judged(n: int = 40) -> EvaluatedSplit:
    random = np.random.default_rng(0)
    y_true = random.integers(0, 2, (n, 28), dtype=np.uint8)
    y_true[:, -1] = 0
    y_prob = random.random((n, 28)).astype(np.float32)
    ids = np.array([f"cell-{row:02d}" for row in range(n)])
    y_pred = (y_prob > 0.5).astype(np.uint8)
    return EvaluatedSplit(ids, np.arange(n) // 2, y_true, y_prob, y_pred, "run7")


def test_a_judged_split_survives_the_disk_and_is_found_by_folder_or_file(tmp_path: Path) -> None:
    judged = make_judged()
    judged.write(tmp_path / "reports" / "test_predictions.npz")
    for name in (tmp_path, tmp_path / "reports", tmp_path / "reports" / "test_predictions.npz"):
        found = find_judged(str(name))
        assert found.run_id == "run7"
        for key in ("ids", "groups", "y_true", "y_prob", "y_pred"):
            np.testing.assert_array_equal(getattr(found, key), getattr(judged, key))


def test_neither_order_nor_the_numbers_of_groups_matter() -> None:
    judged = make_judged()
    order = np.random.default_rng(1).permutation(40)
    keys = ("ids", "groups", "y_true", "y_prob", "y_pred")
    other = replace(judged, **{key: getattr(judged, key)[order] for key in keys})
    other = replace(other, groups=1000 - other.groups)
    a, b = check_same_data(judged, other)
    np.testing.assert_array_equal(a.y_prob, b.y_prob)
    np.testing.assert_array_equal(a.groups, b.groups)
    assert judged.digest() == other.digest()


def test_other_images_labels_or_groups_are_refused() -> None:
    judged = make_judged()
    ids = np.where(judged.ids == "cell-07", "cell-99", judged.ids)
    with pytest.raises(UserError, match=r"1 images only in A, 1 only in B, such as 'cell-07'"):
        check_same_data(judged, replace(judged, ids=ids))
    y_true = judged.y_true.copy()
    y_true[3, 4] ^= 1
    with pytest.raises(UserError, match=r"other labels for 1 of 40 images, such as 'cell-03'"):
        check_same_data(judged, replace(judged, y_true=y_true))
    groups = judged.groups.copy()
    groups[9] = 99
    with pytest.raises(UserError, match=r"in other groups, such as 'cell-09'"):
        check_same_data(judged, replace(judged, groups=groups))


def test_what_is_no_run_is_refused() -> None:
    with pytest.raises(UserError, match=r"'nonsense' is no run"):
        find_judged("nonsense")


def test_text_and_json_say_the_same() -> None:
    a = make_judged()
    b = replace(a, y_pred=a.y_true)
    found = compare(a.y_true, a.groups, a.y_pred, b.y_pred, 1, 100)
    document = json.loads(json.dumps(as_json(found, a, b), allow_nan=False))
    text = as_text(found, "one", "two")
    assert f"B minus A: {document['difference']:+.3f}" in text
    assert "drawn in 20 groups" in text
    assert document["classes"]["Rods & rings"]["interval"] == [None, None]
    assert len(text.splitlines()) == 6 + 28
