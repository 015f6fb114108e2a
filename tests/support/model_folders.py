"""Model folder as the train and threshold stages write it, with a network of two layers."""

from pathlib import Path

import keras
import numpy as np

from hpa.data.packed.training_range import fit_training_range
from hpa.labels import CHANNELS, LABELS
from hpa.system.files import sha256, write_json
from hpa.thresholds.fitting import fit_thresholds
from hpa.thresholds.thresholds_file import thresholds_to_json
from support.worlds import draw_pixels

IMAGE_SIZE = 32


def write_model_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    images = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 4), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 255)(images)
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(scaled))
    keras.Model(images, keras.layers.Dense(28, bias_initializer="ones")(pooled)).save(
        folder / "best.keras"
    )
    random = np.random.default_rng(1)
    y_true = (np.arange(28) == np.arange(56)[:, None] % 28).astype(np.uint8)
    thresholds = fit_thresholds(y_true, random.random((56, 28), dtype=np.float32))
    write_json(folder / "thresholds.json", {"run_id": "r", **thresholds_to_json(thresholds)})
    seen = fit_training_range(draw_pixels(seed, IMAGE_SIZE) for seed in range(20))
    write_json(folder / "training_range.json", seen.to_json())
    provenance = {
        "run_id": "r",
        "params": {"pack.odd_size": "refuse"},
        "archives": {"best.keras": sha256(folder / "best.keras")},
        "channels": list(CHANNELS),
        "labels": list(LABELS),
    }
    write_json(folder / "provenance.json", provenance)
    return folder
