"""The simulated microscope draws the labelled structures, and the same bytes every time."""

import cv2
import numpy as np
import pytest

from hpa.data.synthesis.microscope import draw_image
from hpa.data.synthesis.patterns import PATTERNS
from hpa.data.synthesis.reference import Reference, stain
from hpa.data.synthesis.scene import Scene, build_scene
from hpa.seeds import stream
from hpa.vocabulary.hpa2018 import LABELS

NUMBER = {name: number for number, name in enumerate(LABELS.names)}
SEEDS = range(4)


def specimen(name: str, seed: int, size: int = 128) -> tuple[Scene, Reference, np.ndarray]:
    """Return the scene of one label and its pattern before optics and noise."""
    rng = stream(seed, "test", name)
    scene = build_scene(rng, (NUMBER[name],), size)
    reference = stain(rng, scene)
    return scene, reference, PATTERNS[NUMBER[name]](rng, scene, reference)


def mean_where(image: np.ndarray, mask: np.ndarray) -> float:
    return float(image[mask].mean())


def test_an_image_has_four_channels_of_bytes():
    image = draw_image((0, 25), seed=1, index=0, image_size=96)
    assert image.shape == (96, 96, 4)
    assert image.dtype == np.uint8


def test_the_same_arguments_give_the_same_bytes_in_any_order():
    forward = [draw_image((7,), seed=2, index=i, image_size=96).tobytes() for i in range(4)]
    backward = [draw_image((7,), seed=2, index=i, image_size=96).tobytes() for i in (3, 2, 1, 0)]
    assert forward == backward[::-1]
    assert len(set(forward)) == 4


def test_the_number_of_threads_does_not_change_a_byte():
    n_threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        alone = draw_image((6, 23), seed=3, index=5, image_size=256).tobytes()
        cv2.setNumThreads(4)
        assert draw_image((6, 23), seed=3, index=5, image_size=256).tobytes() == alone
    finally:
        cv2.setNumThreads(n_threads)


def test_another_seed_gives_another_image():
    one = draw_image((0,), seed=4, index=0, image_size=64)
    assert (one != draw_image((0,), seed=5, index=0, image_size=64)).any()


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("label", range(len(LABELS)))
def test_every_label_draws_and_changes_the_green_channel(label, size):
    with_label = draw_image((label,), seed=6, index=label, image_size=size, brightness=3.0)
    without = draw_image((), seed=6, index=label, image_size=size, brightness=3.0)
    assert with_label.shape == (size, size, 4)
    difference = with_label[..., 1].astype(int) - without[..., 1]
    assert np.abs(difference).max() > 10


@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_every_channel_shows_something_at_every_size(size):
    image = draw_image((0, 25), seed=7, index=1, image_size=size)
    assert (image.max(axis=(0, 1)) > 15).all()


def test_a_small_image_is_the_large_one_scaled_down():
    large = draw_image((0,), seed=8, index=2, image_size=256)[..., 2].astype(np.float32)
    small = draw_image((0,), seed=8, index=2, image_size=128)[..., 2].astype(np.float32)
    scaled = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(scaled.ravel(), small.ravel())[0, 1] > 0.9


def test_brightness_scales_the_light():
    full = draw_image((25,), seed=9, index=0, image_size=128).mean()
    dim = draw_image((25,), seed=9, index=0, image_size=128, brightness=0.5).mean()
    assert 0.3 * full < dim < 0.75 * full


def test_an_unknown_label_is_refused():
    with pytest.raises(KeyError, match="28"):
        draw_image((28,), seed=0, index=0, image_size=64)


def test_every_label_has_its_own_pattern():
    assert sorted(PATTERNS) == list(range(len(LABELS)))
    assert len(set(PATTERNS.values())) == len(LABELS)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "name",
    ["Nucleoplasm", "Nucleoli", "Nucleoli fibrillar center", "Nuclear speckles", "Nuclear bodies"],
)
def test_nuclear_patterns_are_inside_the_blue_nucleus(name, seed):
    scene, _, green = specimen(name, seed)
    assert (green * scene.nucleus).sum() > 0.9 * green.sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_nuclear_membrane_is_brighter_on_the_rim_than_in_the_centre(seed):
    scene, _, green = specimen("Nuclear membrane", seed)
    rim = mean_where(green, np.abs(scene.depth - 0.95) < 0.05)
    assert rim > 2 * mean_where(green, scene.depth < 0.6)


@pytest.mark.parametrize("seed", SEEDS)
def test_nucleoli_are_bright_in_label_2_and_dark_in_the_nuclear_stain(seed):
    scene, reference, green = specimen("Nucleoli", seed)
    inside = scene.nucleoli > 0.8
    around = (scene.nucleus > 0.9) & (scene.nucleoli < 0.05)
    assert mean_where(green, inside) > 2 * mean_where(green, around)
    assert mean_where(reference.chromatin, inside) < mean_where(reference.chromatin, around)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["Cytosol", "Endoplasmic reticulum", "Mitochondria"])
def test_cytoplasmic_patterns_are_brighter_outside_the_nucleus(name, seed):
    scene, _, green = specimen(name, seed)
    near = (scene.halo > 0.1) & (scene.halo < 0.6) & (scene.edge > 0.15)
    assert mean_where(green, near) > mean_where(green, scene.nucleus > 0.9)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_plasma_membrane_is_brighter_at_the_border_than_inside(seed):
    scene, _, green = specimen("Plasma membrane", seed, size=256)
    border = (scene.cell > 0) & (scene.edge < 0.06)
    inner = (scene.edge > 0.3) & (scene.nucleus < 0.1)
    assert mean_where(green, border) > mean_where(green, inner)


@pytest.mark.parametrize("seed", SEEDS)
def test_junctions_are_only_between_touching_cells(seed):
    scene, _, green = specimen("Cell junctions", seed)
    bright = green > 0.6
    assert bright.any()
    assert scene.contact[bright].min() > 0.1
    free_border = (scene.edge < 0.1) & (scene.cell > 0) & (scene.contact < 0.01)
    assert mean_where(green, free_border) < 0.3 * mean_where(green, scene.contact > 0.9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["Centrosome", "Microtubule organizing center", "Aggresome"])
def test_organiser_patterns_peak_beside_a_nucleus(name, seed):
    scene, _, green = specimen(name, seed)
    row, column = np.unravel_index(np.argmax(green), green.shape)
    assert scene.halo[row, column] < 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_spindle_is_in_a_metaphase_cell_with_blue_chromosomes(seed):
    scene, reference, green = specimen("Mitotic spindle", seed)
    row, column = np.unravel_index(np.argmax(green), green.shape)
    window = slice(max(row - 8, 0), row + 9), slice(max(column - 8, 0), column + 9)
    assert reference.chromatin[window].max() > 0.8
    assert scene.nucleus[row, column] < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bridge_joins_two_sister_cells(seed):
    scene, reference, green = specimen("Cytokinetic bridge", seed)
    assert scene.cells.pairs
    row, column = np.unravel_index(np.argmax(green), green.shape)
    assert reference.bridge[row, column] + reference.midbody[row, column] > 0.3


@pytest.mark.parametrize("seed", SEEDS)
def test_label_14_follows_the_red_channel(seed):
    _, reference, green = specimen("Microtubules", seed)
    assert np.corrcoef(green.ravel(), reference.microtubules.ravel())[0, 1] > 0.8
