"""Source `synthetic`: a simulation of the competition."""

import uuid
from pathlib import Path
from typing import Any

import cv2
import joblib
import pandas as pd

from hpa.data.images import catalogue
from hpa.data.packed.vocabulary import write_vocabulary
from hpa.data.sources.png_files import write_png
from hpa.data.synthesis.label_sets import draw_label_sets
from hpa.data.synthesis.microscope import draw_image, pin_instructions
from hpa.seeds import stream
from hpa.system.files import atomic_path, require_free_space
from hpa.system.progress import progress
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018, LABELS


def fetch_synthetic(
    raw_dir: Path,
    *,
    n_images: int,
    n_unlabelled: int,
    image_size: int,
    tempering: float,
    seed: int,
    n_jobs: int = -1,
) -> None:
    """Simulate the competition: labelled images, and dimmer unlabelled ones.

    The same arguments give the same bytes, whatever `n_jobs`, on x86-64 processors with AVX2 (see
    `microscope.pin_instructions`). Elsewhere a few pixels may differ.

    Args:
        raw_dir: the folder to write, in Kaggle's layout; an older one is replaced.
        n_images, n_unlabelled: number of images in `train/` and `test/`.
        image_size: their height and width in pixels.
        tempering: 0 for the competition's label frequencies, 1 for equal ones.
        seed: seed of all random draws.
        n_jobs: number of processes; -1 for one per core.
    """
    n_bytes = (n_images + n_unlabelled) * len(CHANNELS) * image_size**2
    require_free_space(raw_dir.parent, n_bytes, "the synthetic images")
    with atomic_path(raw_dir) as folder:
        folder.mkdir()
        write_vocabulary(folder, HPA_2018)
        for csv, subfolder, brightness, count in (
            (catalogue.LABELLED_CSV, catalogue.LABELLED_FOLDER, 1.0, n_images),
            # The competition's test images have 0.76 times the brightness of its training images.
            (catalogue.UNLABELLED_CSV, catalogue.UNLABELLED_FOLDER, 0.76, n_unlabelled),
        ):
            part_seed = int(stream(seed, subfolder).integers(2**32))
            label_sets = (
                draw_label_sets(count, tempering=tempering, seed=part_seed) if count else []
            )
            ids = [_image_id(part_seed, index) for index in range(count)]
            table = pd.DataFrame({"Id": ids, "Predicted": "0"})
            if csv == catalogue.LABELLED_CSV:
                table = pd.DataFrame({"Id": ids, "Target": map(LABELS.format, label_sets)})
            (folder / subfolder).mkdir(parents=True)
            table.to_csv(folder / csv, index=False)
            look = {"seed": part_seed, "image_size": image_size, "brightness": brightness}
            tasks = (
                joblib.delayed(_draw)(folder / subfolder, image_id, labels, index=index, **look)
                for index, (image_id, labels) in enumerate(zip(ids, label_sets, strict=True))
            )
            drawn = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks)
            for _ in progress(drawn, what=f"draw {subfolder}", total=count):
                pass


def _draw(folder: Path, image_id: str, labels: tuple[int, ...], **look: Any) -> None:
    """Draw one image, by the arguments of `draw_image`, and write its channels."""
    pin_instructions()
    cv2.setNumThreads(1)
    pixels = draw_image(labels, **look)
    for number, channel in enumerate(CHANNELS.names):
        write_png(catalogue.channel_path(folder, image_id, channel), pixels[..., number])


def _image_id(seed: int, index: int) -> str:
    return str(uuid.UUID(bytes=stream(seed, "id", index).bytes(16), version=4))
