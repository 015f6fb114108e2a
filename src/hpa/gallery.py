"""Test images in pseudo-colour, each with its truth and what was predicted."""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hpa.data.packed import PackedImages, read_index
from hpa.evaluation import Evaluation
from hpa.files import atomic_path
from hpa.labels import LABELS
from hpa.reporting import BLUE, INK, ORANGE, house_style

COLUMNS = 4
LINE_WIDTH = 56
"""Letters that fit below an image."""


def write_gallery(evaluation: Evaluation, packed_dir: Path, n_examples: int, path: Path) -> None:
    """Draw `n_examples` test images, spread evenly over the split in its order.

    Each stands as all channels in pseudo-colour beside the protein alone, above the labels that
    were found (blue), missed (ink) and invented (orange).
    """
    y_true = evaluation.test.labelled("test")
    chosen = np.linspace(0, len(y_true) - 1, min(n_examples, len(y_true))).astype(int)
    row_of = {image_id: row for row, image_id in enumerate(read_index(packed_dir)["Id"])}
    rows = np.array([row_of[image_id] for image_id in evaluation.test.ids[chosen]], dtype=int)
    pixels = PackedImages(packed_dir).read(rows)
    y_pred = evaluation.thresholds.predict(evaluation.test.y_prob)
    with house_style(), atomic_path(path) as temporary:
        figure = draw_gallery(pixels, y_true[chosen], y_pred[chosen])
        figure.savefig(temporary, format="png", metadata={"Software": None})


def draw_gallery(pixels: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray) -> Figure:
    """Draw uint8[n,S,S,4] with truth and prediction uint8[n,28]."""
    n_rows = max(1, -(-len(pixels) // COLUMNS))
    figure = Figure(figsize=(3.6 * COLUMNS, 2.9 * n_rows))
    grid = figure.subplots(n_rows, COLUMNS, squeeze=False)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0, top=0.99, wspace=0.05, hspace=0.05)
    for axes in grid.flat:
        axes.set_axis_off()
        axes.set_anchor("N")
    for axes, image, truth, prediction in zip(grid.flat, pixels, y_true, y_pred, strict=False):
        gap = np.full((len(image), max(1, len(image) // 48), 3), 255, np.uint8)
        axes.imshow(np.hstack([pseudo_colour(image), gap, protein(image)]))
        for line, (text, colour) in enumerate(_verdict(truth, prediction)):
            axes.text(
                0, -0.03 - 0.09 * line, text, color=colour, va="top", fontsize=8,
                transform=axes.transAxes,
            )  # fmt: skip
    return figure


def pseudo_colour(image: np.ndarray) -> np.ndarray:
    """Show uint8[S,S,4] as RGB uint8[S,S,3] in the channels' own colours, brightened to fill."""
    red, green, blue, yellow = np.moveaxis(_stretched(image), -1, 0)
    rgb = np.stack([red + 0.6 * yellow, green + 0.6 * yellow, blue], axis=-1)
    return np.asarray(255 * np.clip(rgb, 0, 1), dtype=np.uint8)


def protein(image: np.ndarray) -> np.ndarray:
    """Show the protein of uint8[S,S,4] alone, white on black, as RGB uint8[S,S,3]."""
    green = _stretched(image)[..., 1]
    return np.repeat((255 * green[..., None]).astype(np.uint8), 3, axis=-1)


def _stretched(image: np.ndarray) -> np.ndarray:
    """Scale each channel so that its 99.7th percentile is white; float[S,S,4] in [0,1]."""
    white = np.maximum(np.percentile(image, 99.7, axis=(0, 1)), 16)
    return np.clip(image / white, 0, 1)


def _verdict(truth: np.ndarray, prediction: np.ndarray) -> list[tuple[str, str]]:
    """Name the labels found, missed and invented: lines of text, each with its colour."""
    kinds = (
        ("found", truth & prediction, BLUE),
        ("missed", truth & ~prediction & 1, INK),
        ("invented", prediction & ~truth & 1, ORANGE),
    )
    return [
        (line, colour)
        for kind, chosen, colour in kinds
        if chosen.any()
        for line in textwrap.wrap(
            f"{kind}: {', '.join(LABELS[label] for label in np.flatnonzero(chosen))}",
            LINE_WIDTH,
            max_lines=2,
            placeholder=" …",
        )
    ]
