"""Test images in pseudo-colour, right and wrong, with an overlay of where a label was seen."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hpa.labels import LABELS
from hpa.seeds import stream
from hpa.system.files import atomic_path, read_json, write_json

KINDS = ("found", "missed", "invented")
MAX_PX = 256
"""Larger images are shown smaller: a report of 84 pictures then stays below some 10 MB."""

QUALITY = 88
"""Of JPEG: no difference to see, a sixth of the bytes of PNG on noisy images."""


@dataclass(frozen=True)
class Example:
    """One test image chosen for one label.

    Attributes:
        label: number of the label it was chosen for.
        kind: what happened to that label here: found, missed or invented.
        image_id: its name.
        truth, predicted: numbers of its labels.
        probability: of the label, in [0,1].
        threshold: of the label.
        file: picture in the gallery's folder.
    """

    label: int
    kind: str
    image_id: str
    truth: tuple[int, ...]
    predicted: tuple[int, ...]
    probability: float
    threshold: float
    file: str


def choose_examples(
    y_true: np.ndarray, y_pred: np.ndarray, *, n_per_label: int, seed: int
) -> list[tuple[int, str, int]]:
    """Return (label, kind, row): up to `n_per_label` rows of each kind for each label.

    They are drawn at random (`hpa.seeds`, purpose "gallery"), so they are neither the best nor the
    worst; an image may stand for several labels.

    Args:
        y_true, y_pred: uint8[N,28].
        n_per_label: of each kind.
        seed: of the draw.
    """
    chosen = []
    for label in range(len(LABELS)):
        truth, decided = y_true[:, label] == 1, y_pred[:, label] == 1
        masks = (truth & decided, truth & ~decided, decided & ~truth)
        for kind, mask in zip(KINDS, masks, strict=True):
            order = stream(seed, "gallery", label, kind).permutation(np.flatnonzero(mask))
            chosen += [(label, kind, int(row)) for row in order[:n_per_label]]
    return chosen


def draw_example(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return RGB uint8[S,3S+2g,3]: all channels, the protein alone, the protein under the map.

    Args:
        pixels: uint8[S,S,4].
        heat: float32[h,w], 0 or more, as `activation_maps` gives it; scaled to its own maximum.
    """
    size = min(len(pixels), MAX_PX)
    small = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
    gap = np.full((size, max(1, size // 48), 3), 255, np.uint8)
    return np.hstack([pseudo_colour(small), gap, protein(small), gap, overlay(small, heat)])


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay a map float32[h,w] over the protein of uint8[S,S,4]: RGB uint8[S,S,3], orange is most."""
    size = len(pixels)
    share = heat / max(float(heat.max()), np.finfo(np.float32).tiny)
    smooth = cv2.resize(share.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    weight = 0.55 * np.clip(smooth, 0, 1)[..., None]
    colour = np.array([255, 122, 20])
    return np.asarray((1 - weight) * protein(pixels) + weight * colour, dtype=np.uint8)


def write_gallery(folder: Path, examples: list[tuple[Example, np.ndarray]], *, note: str) -> None:
    """Write a folder of JPEG pictures RGB uint8[H,W,3] and `gallery.json`, whole or not at all."""
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        for example, picture in examples:
            bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            (temporary / example.file).write_bytes(content.tobytes())
        rows = [asdict(example) for example, _ in examples]
        write_json(temporary / "gallery.json", {"note": note, "examples": rows})


def read_gallery(folder: Path) -> tuple[str, list[Example]]:
    """Read the note and the examples that `write_gallery` wrote."""
    document: dict[str, Any] = read_json(folder / "gallery.json")
    rows = document["examples"]
    return document["note"], [
        Example(**{**row, "truth": tuple(row["truth"]), "predicted": tuple(row["predicted"])})
        for row in rows
    ]


def pseudo_colour(image: np.ndarray) -> np.ndarray:
    """Show uint8[S,S,4] as RGB uint8[S,S,3] in the channels' own colours, brightened to fill."""
    red, green, blue, yellow = np.moveaxis(stretched(image), -1, 0)
    rgb = np.stack([red + 0.6 * yellow, green + 0.6 * yellow, blue], axis=-1)
    return np.asarray(255 * np.clip(rgb, 0, 1), dtype=np.uint8)


def protein(image: np.ndarray) -> np.ndarray:
    """Show the protein of uint8[S,S,4] alone, white on black, as RGB uint8[S,S,3]."""
    green = stretched(image)[..., 1]
    return np.repeat((255 * green[..., None]).astype(np.uint8), 3, axis=-1)


def stretched(image: np.ndarray) -> np.ndarray:
    """Scale each channel so that its 99.7th percentile is white; float[S,S,4] in [0,1]."""
    white = np.maximum(np.percentile(image, 99.7, axis=(0, 1)), 16)
    return np.clip(image / white, 0, 1)
