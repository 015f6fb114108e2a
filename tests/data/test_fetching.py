"""Whatever the source, the result is a folder in Kaggle's layout."""

from pathlib import Path

import pytest
from worlds import IDS, digests

from hpa.data import fetching
from hpa.data.catalogue import read_catalogue
from hpa.data.fetching import fetch_local, fetch_synthetic
from hpa.errors import UserError


def test_a_local_folder_is_copied_byte_by_byte(raw_world: Path, tmp_path: Path) -> None:
    for _ in range(2):
        fetch_local(tmp_path / "raw", source_dir=raw_world)
    assert digests(tmp_path / "raw") == digests(raw_world)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_only_files_that_the_tables_name_are_copied(own_world: Path, tmp_path: Path) -> None:
    (own_world / "train" / "secret.png").write_bytes(b"x")
    (own_world / "notes.txt").write_text("x")
    fetch_local(tmp_path / "copy", source_dir=own_world)
    copied = digests(tmp_path / "copy")
    assert len(copied) == 4 * len(IDS) + 2
    assert "train/secret.png" not in copied


def test_a_folder_without_unlabelled_images_is_copied(own_world: Path, tmp_path: Path) -> None:
    (own_world / "sample_submission.csv").unlink()
    fetch_local(tmp_path / "copy", source_dir=own_world)
    assert len(read_catalogue(tmp_path / "copy")) == 40


def test_an_unfit_folder_leaves_the_older_copy(
    own_world: Path, raw_world: Path, tmp_path: Path
) -> None:
    fetch_local(tmp_path / "copy", source_dir=own_world)
    (own_world / "train" / "cell-001_red.png").unlink()
    with pytest.raises(UserError, match=r"1 missing: cell-001_red\.png"):
        fetch_local(tmp_path / "copy", source_dir=own_world)
    assert digests(tmp_path / "copy") == digests(raw_world)


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fetch\.path is no folder(.|\n)*nowhere"):
        fetch_local(tmp_path / "raw", source_dir=tmp_path / "nowhere")


def test_a_disk_that_fills_midway_is_a_clear_error(
    raw_world: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="not enough free disk for the copy"):
        fetch_local(small_disk / "raw", source_dir=raw_world)
    monkeypatch.setattr(fetching, "require_free_space", lambda *_: None)
    with pytest.raises(UserError, match="the disk is full"):
        fetch_local(small_disk / "raw", source_dir=raw_world)
    assert list(small_disk.iterdir()) == []


def test_the_source_may_be_the_destination(own_world: Path) -> None:
    before = digests(own_world)
    fetch_local(own_world, source_dir=own_world)
    assert digests(own_world) == before


def synthesise(raw_dir: Path, **changes: float) -> None:
    arguments = {"n_images": 28, "n_unlabelled": 3, "image_size": 64, "tempering": 0.7, "seed": 1}
    fetch_synthetic(raw_dir, **{**arguments, **changes}, n_jobs=1)  # type: ignore[arg-type]


def test_the_synthetic_world_is_in_kaggle_s_layout_and_repeatable(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthesise(tmp_path / name, seed=seed)
    catalogue = read_catalogue(tmp_path / "a")
    assert (len(catalogue), catalogue["labelled"].sum()) == (31, 28)
    first, again, other = (digests(tmp_path / name) for name in "abc")
    assert first == again
    assert not set(first.values()) & set(other.values())


def test_a_synthetic_world_may_lack_unlabelled_images(tmp_path: Path) -> None:
    synthesise(tmp_path / "a", n_unlabelled=0)
    assert read_catalogue(tmp_path / "a")["labelled"].all()
