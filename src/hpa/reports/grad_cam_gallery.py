"""Grad-CAM pictures of random true positives, false negatives and false positives per label."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hpa.data.images.rendering import overlay, protein, pseudo_colour, side_by_side
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.errors import UserError
from hpa.inference.models import Model
from hpa.metrics.origins import UNKNOWN, Origin
from hpa.metrics.predictions import Scores
from hpa.model.grad_cam import activation_maps
from hpa.reports.gallery import GalleryImage, write_gallery
from hpa.reports.shown_classes import describe_part, shown_classes
from hpa.seeds import stream
from hpa.system.progress import progress
from hpa.thresholds.decisions import Thresholds, decide
from hpa.vocabulary.channels import Channels

# Each outcome and the word that seeds its random draw; other words would draw other images.
KINDS = {"true positive": "found", "false negative": "missed", "false positive": "invented"}
MAX_PX = 256  # larger images are scaled down: a report of 84 pictures stays below some 10 MB


def explain_examples(
    networks: Sequence[Model],
    test: Scores,
    thresholds: Thresholds,
    *,
    packed_dir: Path,
    gallery_dir: Path,
    n_per_label: int,
    seed: int,
    batch_size: int,
    origin: Origin = UNKNOWN,
) -> int:
    """Write the gallery of test images (see `choose_examples`) and return the number of pictures.

    Args:
        networks, test: what to explain, by the mean of their maps, and its scores with labels.
        thresholds: of the model; probabilities are those that people see.
        packed_dir, gallery_dir: input and output folder.
        n_per_label, seed, batch_size: images of each kind, of the draw, and per forward pass.
        origin: of the thresholds and the scores, kept with the pictures.
    """
    y_true, y_pred = test.labelled("test"), decide(thresholds, test.y_prob)
    shown, limits = thresholds.shown(test.y_prob), thresholds.shown_values
    chosen = choose_examples(y_true, y_pred, n_per_label=n_per_label, seed=seed)
    rows, images = _packed_rows(test.ids, packed_dir), PackedImages(packed_dir)
    channels = read_vocabulary(packed_dir).channels
    # Load none for an empty gallery: its head need not support Grad-CAM then.
    models = [each.load() for each in networks] if chosen else []
    pictures: list[tuple[GalleryImage, np.ndarray]] = []
    note = ""
    for start in progress(range(0, len(chosen), batch_size), what="maps", unit="step"):
        batch = chosen[start : start + batch_size]
        pixels = images.read(rows[[row for _, _, row in batch]])
        maps = np.mean([activation_maps(each, pixels) for each in models], axis=0)
        note = f"The maps are enlarged from {maps.shape[1]} × {maps.shape[2]} pixels."
        if part := describe_part(y_true.shape[1]):
            note += f" Shown are {part}."
        for (label, kind, row), image, heat in zip(batch, pixels, maps, strict=True):
            example = GalleryImage(
                label=label,
                kind=kind,
                image_id=str(test.ids[row]),
                truth=tuple(np.flatnonzero(y_true[row]).tolist()),
                predicted=tuple(np.flatnonzero(y_pred[row]).tolist()),
                probability=float(shown[row, label]),
                threshold=float(limits[label]),
                file=f"{label:02d}-{kind.replace(' ', '-')}-{len(pictures):03d}.jpg",
            )
            pictures.append((example, draw_example(image, heat[..., label], channels)))
    write_gallery(gallery_dir, pictures, note=note, origin=origin)
    return len(pictures)


def choose_examples(
    y_true: np.ndarray, y_pred: np.ndarray, *, n_per_label: int, seed: int
) -> list[tuple[int, str, int]]:
    """Return (label, kind, row): up to `n_per_label` rows of each kind for each label, by column.

    Rows are drawn at random (`hpa.seeds`, purpose "gallery"), so they are neither the best nor the
    worst. An image may be drawn for several labels. Of many labels, those with most positives.
    """
    chosen = []
    for label in shown_classes(y_true.sum(axis=0)).tolist():
        true, predicted = y_true[:, label] == 1, y_pred[:, label] == 1
        outcomes = (true & predicted, true & ~predicted, predicted & ~true)
        for (kind, purpose), rows in zip(KINDS.items(), outcomes, strict=True):
            order = stream(seed, "gallery", label, purpose).permutation(np.flatnonzero(rows))
            chosen += [(label, kind, int(row)) for row in order[:n_per_label]]
    return chosen


def draw_example(pixels: np.ndarray, heat: np.ndarray, channels: Channels) -> np.ndarray:
    """Return all channels, the protein, and the protein under the map, as RGB uint8[S,3S+2g,3].

    With one channel, the first panel is left out: uint8[S,2S+g,3].

    Args:
        pixels: uint8[S,S,K].
        heat: float32[h,w], 0 or more, as from `activation_maps`; scaled to its own maximum.
    """
    size = min(len(pixels), MAX_PX)
    planes = np.moveaxis(pixels, -1, 0)  # OpenCV takes at most four channels at once
    small = np.dstack(
        [cv2.resize(each, (size, size), interpolation=cv2.INTER_AREA) for each in planes]
    )
    every = [pseudo_colour(small, channels)] if len(channels) > 1 else []
    return side_by_side(*every, protein(small, channels), overlay(small, heat, channels))


def _packed_rows(ids: np.ndarray, packed_dir: Path) -> np.ndarray:
    rows = pd.Index(read_index(packed_dir)["Id"]).get_indexer(ids)
    absent = ids[rows < 0]
    if len(absent):
        raise UserError(
            f"{packed_dir} lacks scored images",
            expected="every image of the scores",
            received=f"{len(absent)} unknown, such as {str(absent[0])!r}",
            remedy="run the score stage again: dvc repro",
        )
    return np.asarray(rows)
