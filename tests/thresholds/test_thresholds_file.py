"""thresholds.json: exact round trips, and documents that are refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpa.errors import UserError
from hpa.thresholds.decisions import Thresholds
from hpa.thresholds.fitting import fit_by_rule
from hpa.thresholds.shown import ShownScale
from hpa.thresholds.thresholds_file import read_thresholds, thresholds_digest, thresholds_to_json
from hpa.vocabulary import hpa2018
from support.paths import ROOT
from support.scripts import run_script

LABELS = hpa2018.LABELS.names
N_LABELS = len(LABELS)


def make_thresholds(seed: int = 2) -> Thresholds:
    random = np.random.default_rng(seed)
    y_true = (random.random((50, N_LABELS)) < 0.3).astype(np.uint8)
    return fit_by_rule(
        "sweep", y_true, random.random(y_true.shape), hpa2018.LABELS, fixed=0.5, seed=0
    )


def reread(document: dict[str, Any], folder: Path) -> Thresholds:
    path = folder / "thresholds.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return read_thresholds(path)[0]


def test_thresholds_survive_json_exactly(tmp_path: Path) -> None:
    thresholds = make_thresholds()
    again = reread(thresholds_to_json(thresholds), tmp_path)
    for name in ("values", "support", "fit_f1", "cross_fitted_f1"):
        np.testing.assert_array_equal(getattr(thresholds, name), getattr(again, name))
    assert again.plain.keys() == {"fixed", "global", "sweep"}
    for name, plain in thresholds.plain.items():
        np.testing.assert_array_equal(plain.values, again.plain[name].values)
        assert plain.fit_macro_f1 == again.plain[name].fit_macro_f1
        assert plain.cross_fitted_macro_f1 == again.plain[name].cross_fitted_macro_f1
    assert (again.rule, again.flags) == (thresholds.rule, thresholds.flags)


def test_what_every_program_must_decide_alike_travels_with_the_thresholds(tmp_path: Path) -> None:
    shown_scale = ShownScale(1.7, 0.12, 0.01, 0.2, 0.1)
    thresholds = replace(make_thresholds(), fill_empty=True, shown_scale=shown_scale)
    again = reread(thresholds_to_json(thresholds), tmp_path)
    assert (again.fill_empty, again.shown_scale) == (True, shown_scale)


def test_files_of_earlier_versions_leave_rows_empty_and_probabilities_as_they_are(
    tmp_path: Path,
) -> None:
    document = thresholds_to_json(make_thresholds())
    del document["fill_empty"], document["shown_scale"]
    again = reread(document, tmp_path)
    assert (again.fill_empty, again.shown_scale) == (False, ShownScale())


def test_a_scale_of_zero_is_refused(tmp_path: Path) -> None:
    document = thresholds_to_json(make_thresholds())
    document["shown_scale"]["scale"] = 0.0
    with pytest.raises(UserError, match=r"shown_scale\.scale: .*greater than 0"):
        reread(document, tmp_path)


def test_labels_are_written_in_the_competitions_order_and_read_in_any(tmp_path: Path) -> None:
    document = thresholds_to_json(make_thresholds())
    assert tuple(document["classes"]) == LABELS
    backwards = {**document, "classes": dict(reversed(document["classes"].items()))}
    assert thresholds_to_json(reread(backwards, tmp_path)) == document


def test_a_label_missing_or_misspelt_in_json_is_named(tmp_path: Path) -> None:
    document = thresholds_to_json(make_thresholds())
    document["classes"]["Nucleus"] = document["classes"].pop("Cytosol")
    with pytest.raises(UserError, match="missing Cytosol; unknown Nucleus"):
        reread(document, tmp_path)


def test_a_threshold_edited_to_one_is_refused(tmp_path: Path) -> None:
    document = thresholds_to_json(make_thresholds())
    document["classes"]["Cytosol"]["threshold"] = 1.0
    with pytest.raises(
        UserError, match=r"Cytosol\.threshold: .* less than 1(.|\n)*received: +1\.0"
    ):
        reread(document, tmp_path)


def test_thresholds_of_another_version_of_the_file_are_refused(tmp_path: Path) -> None:
    document = thresholds_to_json(make_thresholds())
    del document["plain"]["global"]["thresholds"]["Cytosol"]
    with pytest.raises(UserError, match=r"plain\.global\.thresholds: .*missing Cytosol"):
        reread(document, tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda d: d["classes"]["Cytosol"].update(threshold="half"),
            r"classes\.Cytosol\.threshold",
        ),
        (lambda d: d["classes"].update(Cytosol=0.5), r"classes\.Cytosol"),
        (lambda d: d.update(classes=None), "classes: "),
        (lambda d: d.update(plain=[]), "plain: "),
        (
            lambda d: d["plain"]["fixed"]["thresholds"].update(Cytosol=None),
            r"plain\.fixed\.thresholds\.Cytosol",
        ),
    ],
)
def test_a_wrong_value_is_named_by_its_place(
    change: Callable[[Any], None], named: str, tmp_path: Path
) -> None:
    document = thresholds_to_json(make_thresholds())
    change(document)
    with pytest.raises(UserError, match=named):
        reread(document, tmp_path)


def test_a_file_of_an_earlier_version_has_the_labels_of_the_competition(tmp_path: Path) -> None:
    thresholds = make_thresholds()
    document = thresholds_to_json(thresholds)
    before = thresholds_digest(thresholds)
    del document["labels"]
    again = reread(document, tmp_path)
    assert again.labels == hpa2018.LABELS
    assert thresholds_digest(again) == before


def test_classes_that_are_not_those_of_the_labels_are_named(tmp_path: Path) -> None:
    document = thresholds_to_json(make_thresholds())
    document["labels"] = document["labels"][:27]
    with pytest.raises(UserError, match=r"classes: .*unknown Rods & rings"):
        reread(document, tmp_path)
    document["labels"] = ["Vesicles"] * 2
    with pytest.raises(UserError, match="labels: the name 'vesicles' is given 2 times"):
        reread(document, tmp_path)
    document["labels"] = 5
    with pytest.raises(UserError, match="labels: not a list of labels"):
        reread(document, tmp_path)


@pytest.mark.parametrize("n_columns", [1, 5, 40])
def test_thresholds_are_fitted_to_the_scores_of_any_program(tmp_path: Path, n_columns: int) -> None:
    """The file names its labels, or the one error says how to."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    random = np.random.default_rng(0)
    y_true = (random.random((40, n_columns)) < 0.4).astype(np.uint8)
    y_true[:, 5:] = 0
    arrays = {"ids": np.arange(40), "y_true": y_true, "y_prob": 0.5 * y_true + 0.3}
    names = [f"Structure {number}" for number in range(n_columns)]
    options = ("--scores", "other.npz", "--output", "thresholds.json")
    np.savez(tmp_path / "other.npz", allow_pickle=False, **arrays)
    refused = run_script(tmp_path, "threshold", *options)
    assert (refused.returncode, "does not name its labels" in refused.stderr) == (2, True)
    assert not (tmp_path / "thresholds.json").exists()
    np.savez(tmp_path / "other.npz", allow_pickle=False, **arrays, labels=np.array(names))
    fitted = run_script(tmp_path, "threshold", *options)
    assert fitted.returncode == 0, fitted.stderr
    warnings = [line for line in fitted.stdout.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == (9 if n_columns == 40 else 0)  # 35 labels have no positives
    assert all(line == "warning: 27 more labels have no positives here" for line in warnings[8:])
    thresholds, _ = read_thresholds(tmp_path / "thresholds.json")
    assert thresholds.labels.names == tuple(names)
    y_pred = thresholds.predict(arrays["y_prob"].astype(np.float32))
    assert (y_pred[:, :5] == y_true[:, :5]).all()
