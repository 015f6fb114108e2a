"""Tiny data sets in Kaggle's layout: real files of simple shapes, drawn in a second."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from hpa.data.images.catalogue import channel_path
from hpa.data.packed.vocabulary import write_vocabulary
from hpa.data.packing import pack
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018, LABELS
from hpa.vocabulary.labels import Labels

N_LABELLED, N_UNLABELLED, SIZE_PX = 40, 4, 64
NEAR_COPIES = {37: 5, 38: 5, 39: 12}
"""Image 37 is a slightly brighter copy of image 5, and so on."""
IDS = [f"cell-{number:03d}" for number in range(N_LABELLED + N_UNLABELLED)]


def draw_pixels(seed: int, size_px: int = SIZE_PX, n_channels: int = 4) -> np.ndarray:
    """Draw discs over noise in each channel of uint8[S,S,K]."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 12, (size_px, size_px, n_channels), dtype=np.uint8)
    for channel in range(n_channels):
        plane = np.ascontiguousarray(pixels[..., channel])
        for _ in range(6):
            x, y = random.integers(0, size_px, 2).tolist()
            cv2.circle(plane, (x, y), size_px // 8, int(random.integers(60, 250)), thickness=-1)
        pixels[..., channel] = plane
    return pixels


def write_image(
    folder: Path, image_id: str, pixels: np.ndarray, channels: Channels = CHANNELS
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, channel in enumerate(channels.names):
        assert cv2.imwrite(str(channel_path(folder, image_id, channel)), pixels[..., number])


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def target(number: int, labels: Labels = LABELS) -> str:
    """Return the Target of image `number`: up to 40 labels occur; every third image has two."""
    second = {(number + 9) % len(labels)} if number % 3 == 0 else set()
    return labels.format({number % len(labels)} | second)


def write_world(raw_dir: Path, vocabulary: Vocabulary = HPA_2018) -> None:
    """Write 40 labelled images, three of them near copies, and 4 unlabelled ones."""
    n_channels = len(vocabulary.channels)
    for number, image_id in enumerate(IDS):
        pixels = draw_pixels(NEAR_COPIES.get(number, number), n_channels=n_channels)
        if number in NEAR_COPIES:
            pixels = np.minimum(pixels, 253) + np.uint8(2)
        folder = "train" if number < N_LABELLED else "test"
        write_image(raw_dir / folder, image_id, pixels, vocabulary.channels)
    if vocabulary != HPA_2018:  # the competition has no such file
        write_vocabulary(raw_dir, vocabulary)
    labelled, unlabelled = IDS[:N_LABELLED], IDS[N_LABELLED:]
    rows = [(image_id, target(n, vocabulary.labels)) for n, image_id in enumerate(labelled)]
    write_csv(raw_dir / "train.csv", ("Id", "Target"), rows)
    rows = [(image_id, "0") for image_id in unlabelled]
    write_csv(raw_dir / "sample_submission.csv", ("Id", "Predicted"), rows)


def pack_small(raw_dir: Path, packed_dir: Path, *, n_jobs: int = 1, shard_rows: int = 16) -> None:
    """Pack at 32 pixels; `write_world` gives three shards."""
    pack(raw_dir, packed_dir, image_size=32, shard_rows=shard_rows, n_jobs=n_jobs)


def digests(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a folder by its relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def layout_digests(folder: Path) -> dict[str, bytes]:
    """Return `digests` of a fetched folder without the vocabulary, which the competition lacks."""
    return {name: each for name, each in digests(folder).items() if name != "vocabulary.json"}
