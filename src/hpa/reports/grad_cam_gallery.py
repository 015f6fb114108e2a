"""The report's pictures: chosen test images, each with Grad-CAM of the label it stands for."""

from pathlib import Path

import numpy as np

from hpa.data.packed import PackedImages, read_index
from hpa.errors import UserError
from hpa.inference.prediction import Model
from hpa.metrics.predictions import Scores
from hpa.model.grad_cam import activation_maps
from hpa.reports.gallery import Example, choose_examples, draw_example, write_gallery
from hpa.system.progress import progress


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
    pictures: list[tuple[Example, np.ndarray]] = []
    size = (0, 0)
    # Not opened where nothing is to be shown: then a head without maps does no harm.
    model = network.load() if chosen else None
    for start in progress(range(0, len(chosen), batch_size), what="maps", unit="batch"):
        batch = chosen[start : start + batch_size]
        pixels = images.read(rows[[row for _, _, row in batch]])
        maps = activation_maps(model, pixels)
        size = maps.shape[1:3]
        for (label, kind, row), image, heat in zip(batch, pixels, maps, strict=True):
            example = Example(
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
