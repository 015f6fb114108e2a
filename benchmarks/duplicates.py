"""Measure what the search for duplicates finds, and what it takes.

    python benchmarks/duplicates.py sample48          half a minute; a folder in Kaggle's layout
    python benchmarks/duplicates.py --simulated 300   simulated images instead

Prints the share of images whose copy, cropped with a shift of 0.5 to 5 % of the width, is found at
several values of split.hash_distance; the smallest distance between different images, over all
views; and seconds and memory of the search among 2,000, 8,000 and 31,000 images: different ones,
and near copies of one picture.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
from hpa.data.images.catalogue import read_catalogue
from hpa.data.images.decoding import perceptual_hash, read_image, view_hashes
from hpa.data.splits.duplicates import duplicate_groups
from hpa.data.synthesis.label_sets import draw_label_sets
from hpa.data.synthesis.microscope import draw_image
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018

SHIFTS = (0.005, 0.01, 0.02, 0.03, 0.05)
DISTANCES = (6, 16, 32)
N_IMAGES = (2_000, 8_000, 31_000)


def main() -> None:
    """Print the three measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--simulated", type=int, metavar="N")
    arguments = parser.parse_args()
    if arguments.simulated:
        label_sets = enumerate(draw_label_sets(arguments.simulated, tempering=0.7, seed=1))
        images = [draw_image(each, seed=1, index=i, image_size=192) for i, each in label_sets]
    else:
        ids = read_catalogue(arguments.folder, HPA_2018)["Id"]
        images = [read_image(arguments.folder / "train", each, CHANNELS.names, 512) for each in ids]
    for shift in SHIFTS:
        shifted = np.array([shift_distance(image, shift) for image in images])
        found = ", ".join(f"{np.mean(shifted <= each):.0%} at {each}" for each in DISTANCES)
        print(f"shift of {shift:.1%} of the width: found {found}")
    print(f"smallest distance between different images: {smallest_distance(images)}")
    for n_images in N_IMAGES:
        for name, n_bits in (("different images", 128), ("copies", 0), ("near copies", 5)):
            print(f"{n_images} {name}: {search(n_images, n_bits)}", flush=True)


def shift_distance(image: np.ndarray, shift: float) -> int:
    """Return the distance between two crops of an image, one shifted to the right."""
    side = len(image)
    move = round(side * shift)
    crops = (image[: side - move, : side - move], image[: side - move, move:])
    left, right = (
        int(perceptual_hash(cv2.resize(crop, (96, 96), interpolation=cv2.INTER_AREA)), 16)
        for crop in map(np.ascontiguousarray, crops)
    )
    return (left ^ right).bit_count()


def smallest_distance(images: list[np.ndarray]) -> int:
    """Return the smallest distance of an image from any view of another."""
    views = [[int(each, 16) for each in view_hashes(image).split()] for image in images]
    return min(
        (first[0] ^ view).bit_count()
        for row, first in enumerate(views)
        for other in views[:row] + views[row + 1 :]
        for view in other
    )


def search(n_images: int, n_bits: int) -> str:
    """Search among images whose hashes differ from those of one picture in `n_bits` bits."""
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (8, 32), dtype=np.uint8)
    hashes = []
    for _ in range(n_images):
        flips = np.zeros(256, np.uint8)
        flips[random.choice(256, n_bits, replace=False)] = 1
        hashes.append(" ".join(each.tobytes().hex() for each in picture ^ np.packbits(flips)))
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    n_groups = len(set(duplicate_groups(hashes, 6).tolist()))
    seconds = time.process_time() - started
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return f"{n_groups} groups, {seconds:.1f} CPU s, {more:.0f} MB more at the peak"


if __name__ == "__main__":
    main()
