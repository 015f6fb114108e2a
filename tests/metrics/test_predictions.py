"""Scores on disk: round trips, and files that are refused."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpa.errors import UserError
from hpa.metrics.predictions import Scores
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import Labels


def make_scores(n_rows: int = 6, run_id: str = "run7") -> Scores:
    random = np.random.default_rng(0)
    return Scores(
        ids=np.array([f"image-{row}" for row in range(n_rows)]),
        y_true=(random.random((n_rows, 28)) < 0.2).astype(np.uint8),
        y_prob=random.random((n_rows, 28), dtype=np.float32),
        labels=hpa2018.LABELS,
        run_id=run_id,
    )


def test_written_scores_are_read_back_exactly(tmp_path: Path) -> None:
    scores = replace(make_scores(), groups=np.array([3, 3, 0, 1, 1, 2]))
    scores.write(tmp_path / "val.npz")
    again = Scores.read(tmp_path / "val.npz")
    for name in ("ids", "y_true", "y_prob", "groups"):
        ours, theirs = getattr(scores, name), getattr(again, name)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    assert again.run_id == "run7"


def test_unlabelled_scores_stay_unlabelled(tmp_path: Path) -> None:
    replace(make_scores(), y_true=None).write(tmp_path / "new.npz")
    assert Scores.read(tmp_path / "new.npz").y_true is None


def test_equal_scores_give_equal_bytes_and_no_other_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        make_scores().write(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_files_of_other_programs_need_no_run_and_may_hold_more(tmp_path: Path) -> None:
    scores = make_scores()
    assert scores.y_true is not None
    arrays = {"ids": scores.ids, "y_true": scores.y_true, "y_prob": scores.y_prob}
    np.savez(tmp_path / "other.npz", allow_pickle=False, **arrays, epoch=np.arange(3))
    assert Scores.read(tmp_path / "other.npz").run_id == ""


def test_integer_ids_and_double_precision_scores_are_read(tmp_path: Path) -> None:
    y_prob = np.random.default_rng(0).random((3, 28))
    np.savez(tmp_path / "other.npz", allow_pickle=False, ids=np.arange(3), y_prob=y_prob)
    scores = Scores.read(tmp_path / "other.npz")
    assert list(scores.ids) == ["0", "1", "2"]
    np.testing.assert_array_equal(scores.y_prob, y_prob.astype(np.float32))


def test_a_real_score_file_is_read(real_data: Path) -> None:
    scores = Scores.read(real_data / "scores_resnet34_256.npz")
    assert len(scores) == 6215
    assert scores.labelled().shape == (6215, 28)
    assert scores.y_prob.dtype == np.float32


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no scores at .*gone\.npz(.|\n)*run the score stage"):
        Scores.read(tmp_path / "gone.npz")


def test_a_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder"):
        Scores.read(tmp_path)


def test_groups_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"groups must be integers of shape \(6,\)"):
        replace(make_scores(), groups=np.arange(5))


def test_a_file_that_is_not_an_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "val.npz"
    path.write_text("Id,Predicted\n")
    with pytest.raises(UserError, match=r"val\.npz cannot be read(.|\n)*13 bytes"):
        Scores.read(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "val.npz"
    make_scores().write(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"val\.npz cannot be read"):
        Scores.read(path)


def test_a_flipped_byte_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "val.npz"
    make_scores().write(path)
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("y_prob.npy")
    content = bytearray(path.read_bytes())
    content[member.header_offset + 100 + member.compress_size // 2] ^= 0xFF  # past the header
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"val\.npz cannot be read"):
        Scores.read(path)


def test_augmentation_and_merge_are_kept_with_the_scores(tmp_path: Path) -> None:
    path = tmp_path / "val.npz"
    replace(make_scores(), augmentation="dihedral", merge="max_probability").write(path)
    scores = Scores.read(path)
    assert (scores.augmentation, scores.merge) == ("dihedral", "max_probability")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "val.npz"
    np.savez(path, ids=np.array(["a", None], dtype=object))
    with pytest.raises(UserError, match=r"without pickled objects"):
        Scores.read(path)


def test_missing_keys_are_named_beside_those_received(tmp_path: Path) -> None:
    np.savez(tmp_path / "val.npz", ids=np.array(["a"]), probabilities=np.zeros((1, 28)))
    with pytest.raises(UserError, match=r"lacks y_prob(.|\n)*ids, probabilities"):
        Scores.read(tmp_path / "val.npz")


def test_a_wrong_array_in_a_file_is_refused_with_its_path(tmp_path: Path) -> None:
    wrong = np.zeros((1, 27), dtype=np.float32)
    labels = np.array(hpa2018.LABELS.names)
    np.savez(tmp_path / "val.npz", ids=np.array(["a"]), y_prob=wrong, labels=labels)
    with pytest.raises(UserError, match=r"val\.npz holds unusable(.|\n)*\[N,28\](.|\n)*\(1, 27\)"):
        Scores.read(tmp_path / "val.npz")


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.5])
def test_a_score_outside_zero_to_one_is_refused_with_its_place(value: float) -> None:
    y_prob = make_scores().y_prob
    y_prob[3, 5] = value
    with pytest.raises(ValueError, match=rf"y_prob must .* got {value} at row 3, column 5"):
        replace(make_scores(), y_prob=y_prob)


def test_scores_of_double_precision_are_refused() -> None:
    with pytest.raises(ValueError, match="y_prob must be float32, got float64"):
        replace(make_scores(), y_prob=make_scores().y_prob.astype(np.float64))


def test_integers_are_refused_as_probabilities() -> None:
    with pytest.raises(ValueError, match="y_prob must hold floats, got uint8"):
        replace(make_scores(), y_prob=make_scores().labelled())


def test_a_repeated_id_is_refused() -> None:
    ids = make_scores().ids
    ids[4] = ids[1]
    with pytest.raises(ValueError, match="ids must be unique, got 'image-1' 2 times"):
        replace(make_scores(), ids=ids)


def test_too_few_ids_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ids must be text of shape \(6,\).*\(5,\)"):
        replace(make_scores(), ids=make_scores().ids[:5])


def test_ids_that_are_not_text_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ids must be text .*int64"):
        replace(make_scores(), ids=np.arange(6))


def test_labels_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"y_true and y_prob must have equal .*\(5, 28\)"):
        replace(make_scores(), y_true=np.zeros((5, 28), dtype=np.uint8))


def test_unlabelled_scores_cannot_be_evaluated() -> None:
    with pytest.raises(UserError, match=r"test cannot be evaluated(.|\n)*without labels"):
        replace(make_scores(), y_true=None).labelled("test")


def write_foreign(path: Path, n_columns: int, **arrays: np.ndarray) -> Path:
    """Write scores as another program would."""
    y_prob = np.full((3, n_columns), 0.5)
    np.savez(path, allow_pickle=False, ids=np.arange(3), y_prob=y_prob, **arrays)
    return path


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_labels_may_be_an_array_of_names(tmp_path: Path, dtype: str) -> None:
    names = ["Cytosol", "Golgi apparatus", "Nucleoli"]
    path = write_foreign(tmp_path / "other.npz", 3, labels=np.array(names, dtype=dtype))
    assert Scores.read(path).labels == Labels.named(names)


def test_28_columns_without_labels_are_those_of_the_competition(tmp_path: Path) -> None:
    assert Scores.read(write_foreign(tmp_path / "old.npz", 28)).labels == hpa2018.LABELS


@pytest.mark.parametrize("n_columns", [1, 5, 27, 29, 300])
def test_other_columns_without_labels_are_refused_with_what_to_add(
    tmp_path: Path, n_columns: int
) -> None:
    path = write_foreign(tmp_path / "other.npz", n_columns)
    with pytest.raises(UserError) as caught:
        Scores.read(path)
    said = str(caught.value)
    assert "other.npz does not name its labels" in said
    assert f"an array of {n_columns} names" in said
    assert "np.savez(path, ..., labels=np.array([name, ...]))" in said
    assert said.count("expected:") == 1


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.array(["a", "b"]), r"\[N,2\], got \(3, 3\)"),
        (np.array(["a", "b", "A"]), r"the name 'a' is given 2 times"),
        (np.array(["a", "b", "x;y"]), r"'x;y' is not allowed"),
        (np.arange(3), r"'0' is not allowed: .* not a number"),
        (np.array("no JSON"), r"Expecting value"),
        (np.array('{"number": 1}'), r"not a list of labels|unusable"),
        (np.array([["a", "b", "c"]]), r"not a list of labels"),
    ],
)
def test_labels_that_name_no_columns_are_refused(
    tmp_path: Path, labels: np.ndarray, said: str
) -> None:
    path = write_foreign(tmp_path / "other.npz", 3, labels=labels)
    with pytest.raises(UserError, match=rf"other\.npz holds unusable(.|\n)*{said}"):
        Scores.read(path)
