"""Measurements of benchmarks/realism.py on synthetic pictures of known content."""

import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from hpa.errors import UserError
from support.scripts import load_benchmark


@pytest.fixture(scope="module")
def realism() -> ModuleType:
    return load_benchmark("realism")


def discs(places: list[tuple[int, int]], radius: int) -> np.ndarray:
    plane = np.full((256, 256), 4, np.uint8)
    for place in places:
        cv2.circle(plane, place, radius, 180, thickness=-1)
    return plane


def test_touching_nuclei_are_counted_separately(realism: ModuleType) -> None:
    apart = discs([(40, 40), (120, 60), (200, 200)], 12)
    touching = discs([(40, 40), (62, 40), (200, 200)], 12)
    for blue in (apart, touching):
        number, mask = realism.count_nuclei(blue)
        assert number == 3
        assert mask.sum() == pytest.approx(3 * np.pi * 12.5**2, rel=0.15)


def test_specks_are_not_nuclei(realism: ModuleType) -> None:
    assert realism.count_nuclei(discs([(40, 40), (150, 150)], 2))[0] == 0


@pytest.mark.parametrize("radius", [2, 4])
def test_spot_diameters_are_measured(realism: ModuleType, radius: int) -> None:
    places = [(20 * column + 10, 20 * row + 10) for row in range(12) for column in range(12)]
    spots = realism.spot_diameters(discs(places, radius))
    assert len(spots) == 144
    assert np.median(spots) == pytest.approx(2 * radius + 0.5, abs=1)


def test_labels_with_few_positives_are_not_evaluated(realism: ModuleType) -> None:
    y_true = np.zeros((20, 28), np.uint8)
    y_true[:5, 3] = y_true[:4, 4] = y_true[:, 5] = 1
    assert np.flatnonzero(realism.can_be_evaluated(y_true)).tolist() == [3]


@pytest.mark.slow
def test_a_perfect_ranking_has_auc_one_and_chance_a_half(realism: ModuleType) -> None:
    random = np.random.default_rng(1)
    y_true = np.zeros((200, 28), np.uint8)
    y_true[:100, 0] = y_true[::2, 1] = 1
    y_prob = random.random((200, 28))
    y_prob[:, 0] = y_true[:, 0]
    table = realism.aucs(y_true, y_prob, y_true, y_prob).set_index("label")
    assert table.loc[0, ["real", "real_low", "real_high", "twin"]].tolist() == [1, 1, 1, 1]
    assert table.loc[1, "real_low"] < 0.5 < table.loc[1, "real_high"]


def test_twins_have_the_labels_of_their_real_image(realism: ModuleType) -> None:
    y_real = np.eye(28, dtype=np.uint8)[[0, 25]]
    images, y_twin = realism.draw_twins(y_real)
    assert images.shape == (8, 256, 256, 4)
    assert np.array_equal(y_twin, y_real[[0, 0, 0, 0, 1, 1, 1, 1]])
    assert len({image.tobytes() for image in images}) == 8


def test_a_model_trained_on_other_images_is_refused(realism: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    path.write_text(json.dumps({"params": {"fetch.source": "local"}}))
    with pytest.raises(UserError, match="not trained on simulated images"):
        realism.refuse_other_sources(path)
