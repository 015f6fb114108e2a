"""The report's pictures: chosen test images, each with Grad-CAM of the label it stands for."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hpa.data.images.rendering import overlay, protein, pseudo_colour
from hpa.data.packed import PackedImages, read_index
from hpa.errors import UserError
from hpa.inference.scoring import Model
from hpa.labels import LABELS
from hpa.metrics.predictions import Scores
from hpa.model.grad_cam import activation_maps
from hpa.seeds import stream
from hpa.system.files import atomic_path, read_json, write_json
from hpa.system.progress import progress

KINDS = ("found", "missed", "invented")
MAX_PX = 256
"""Larger images are shown smaller: a report of 84 pictures then stays below some 10 MB."""

QUALITY = 88
"""Of JPEG: no difference to see, a sixth of the bytes of PNG on noisy images."""


@dataclass(frozen=True)
class GalleryImage:
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


def write_gallery(
    folder: Path, examples: list[tuple[GalleryImage, np.ndarray]], *, note: str
) -> None:
    """Write a folder of JPEG pictures RGB uint8[H,W,3] and `gallery.json`, whole or not at all."""
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        for example, picture in examples:
            bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            (temporary / example.file).write_bytes(content.tobytes())
        rows = [asdict(example) for example, _ in examples]
        write_json(temporary / "gallery.json", {"note": note, "examples": rows})


def read_gallery(folder: Path) -> tuple[str, list[GalleryImage]]:
    """Read the note and the examples that `write_gallery` wrote."""
    document: dict[str, Any] = read_json(folder / "gallery.json")
    rows = document["examples"]
    return document["note"], [
        GalleryImage(**{**row, "truth": tuple(row["truth"]), "predicted": tuple(row["predicted"])})
        for row in rows
    ]


def explain_examples(
    network: Model,
    test: Scores,
    y_pred: np.ndarray,
    thresholds: np.ndarray,
    *,
    packed_dir: Path,
    gallery_dir: Path,
    n_per_label: int,
    seed: int,
    batch_size: int,
) -> int:
    """Write the gallery of test images and return how many pictures it holds.

    Args:
        network: on disk.
        test: scores with labels.
        y_pred: uint8[N,28], what was decided.
        thresholds: float64[28].
        packed_dir: what the pack stage wrote.
        gallery_dir: gets the pictures.
        n_per_label, seed: see `choose_examples`.
        batch_size: images a pass.
    """
    y_true = test.labelled("test")
    chosen = choose_examples(y_true, y_pred, n_per_label=n_per_label, seed=seed)
    rows = _packed_rows(test.ids, packed_dir)
    images = PackedImages(packed_dir)
    pictures: list[tuple[GalleryImage, np.ndarray]] = []
    size = (0, 0)
    # Not opened where nothing is to be shown: then a head without maps does no harm.
    model = network.load() if chosen else None
    for start in progress(range(0, len(chosen), batch_size), what="maps", unit="batch"):
        batch = chosen[start : start + batch_size]
        pixels = images.read(rows[[row for _, _, row in batch]])
        maps = activation_maps(model, pixels)
        size = maps.shape[1:3]
        for (label, kind, row), image, heat in zip(batch, pixels, maps, strict=True):
            example = GalleryImage(
                label=label,
                kind=kind,
                image_id=str(test.ids[row]),
                truth=tuple(np.flatnonzero(y_true[row]).tolist()),
                predicted=tuple(np.flatnonzero(y_pred[row]).tolist()),
                probability=float(test.y_prob[row, label]),
                threshold=float(thresholds[label]),
                file=f"{label:02d}-{kind}-{len(pictures):03d}.jpg",
            )
            pictures.append((example, draw_example(image, heat[..., label])))
    note = (
        f"The maps have {size[0]} × {size[1]} pixels, enlarged: they tell a region, no outline."
        if pictures
        else ""
    )
    write_gallery(gallery_dir, pictures, note=note)
    return len(pictures)


def _packed_rows(ids: np.ndarray, packed_dir: Path) -> np.ndarray:
    row_of = {image_id: row for row, image_id in enumerate(read_index(packed_dir)["Id"])}
    absent = [str(image_id) for image_id in ids if image_id not in row_of]
    if absent:
        raise UserError(
            f"{packed_dir} lacks scored images",
            expected="every image of the scores",
            received=f"{len(absent)} unknown, such as {absent[0]!r}",
            remedy="run the score stage again: dvc repro",
        )
    return np.array([row_of[image_id] for image_id in ids], dtype=np.int64)
