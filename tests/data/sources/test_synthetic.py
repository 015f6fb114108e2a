"""Simulating the competition: layout and reproducibility."""

from pathlib import Path

from hpa.data.images.catalogue import read_catalogue
from hpa.data.sources.synthetic import fetch_synthetic
from hpa.vocabulary.hpa2018 import HPA_2018
from support.worlds import layout_digests


def simulate(raw_dir: Path, **changes: float) -> None:
    arguments = {"n_images": 28, "n_unlabelled": 3, "image_size": 64, "tempering": 0.7, "seed": 1}
    fetch_synthetic(raw_dir, **{**arguments, **changes}, n_jobs=1)  # type: ignore[arg-type]


def test_the_simulation_has_kaggle_s_layout_and_is_reproducible(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / name, seed=seed)
    catalogue = read_catalogue(tmp_path / "a", HPA_2018)
    assert (len(catalogue), catalogue["labelled"].sum()) == (31, 28)
    first, again, other = (layout_digests(tmp_path / name) for name in "abc")
    assert first == again
    assert not set(first.values()) & set(other.values())


def test_unlabelled_images_are_optional(tmp_path: Path) -> None:
    simulate(tmp_path / "a", n_unlabelled=0)
    assert read_catalogue(tmp_path / "a", HPA_2018)["labelled"].all()
