"""Test images in pseudo-colour, each with its truth and what was predicted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hpa.data.packing import PackedImages, read_index
from hpa.evaluation import Evaluation
from hpa.files import atomic_path
from hpa.labels import LABELS
from hpa.reporting import BLUE, INK, ORANGE, house_style

COLUMNS = 4


def write_gallery(evaluation: Evaluation, packed_dir: Path, n_examples: int, path: Path) -> None:
    """Draw `n_examples` test images, spread evenly over the split in its order.

    Each stands as all channels in pseudo-colour beside the protein alone, above the labels that
    were rightly found (blue), missed (ink, in brackets) and invented (orange, with a plus).
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
    figure = Figure(figsize=(4 * COLUMNS, 2.85 * n_rows), layout="constrained")
    grid = np.atleast_2d(figure.subplots(n_rows, COLUMNS))
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, truth, prediction in zip(grid.flat, pixels, y_true, y_pred, strict=False):
        gap = np.full((len(image), max(1, len(image) // 48), 3), 255, np.uint8)
        axes.imshow(np.hstack([pseudo_colour(image), gap, protein(image)]))
        lines = _verdict(truth, prediction)
        for place, (text, colour) in enumerate(lines):
            axes.text(0, -0.05 - 0.1 * place, text, color=colour, va="top", fontsize=8.5,
                      transform=axes.transAxes)
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


def _verdict(truth: np.ndarray, prediction: np.ndarray) -> Sequence[tuple[str, str]]:
    """Name the labels found, missed and invented, with the colour of each line."""
    kinds = (
        (truth & prediction, "{}", BLUE),
        (truth & ~prediction & 1, "missed: {}", INK),
        (prediction & ~truth & 1, "invented: {}", ORANGE),
    )
    return [
        (pattern.format(", ".join(LABELS[label] for label in np.flatnonzero(chosen))), colour)
        for chosen, pattern, colour in kinds
        if chosen.any()
    ]
