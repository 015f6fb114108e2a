"""Model folder as the train and threshold stages write it, with a network of two layers."""

from pathlib import Path

import keras
import numpy as np

from hpa.data.packed.training_range import fit_training_range
from hpa.system.files import sha256, write_json
from hpa.thresholds.fitting import fit_by_rule, fit_thresholds
from hpa.thresholds.thresholds_file import thresholds_to_json
from hpa.vocabulary.channels import NUCLEUS, OTHER, PROTEIN, Channel, Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import HPA_2018
from hpa.vocabulary.labels import Label, Labels
from support.worlds import draw_pixels

IMAGE_SIZE = 32
COLORS = ("green", "blue", "red", "yellow", "#8844cc", "white", "cyan", "magenta")


def make_vocabulary(n_labels: int, n_channels: int) -> Vocabulary:
    """Return labels whose names are not plain, and channels of which the last shows the protein."""
    labels = [Label(7 + 2 * k, f"type {k}") for k in range(n_labels)]
    labels[0] = Label(3, 'A&B <b>"x"</b>', "<i>first</i> & only", "#aa3377")
    if n_labels > 1:
        labels[1] = Label(9, "x" * 80)
    channels = [Channel(f"ch{k}", OTHER, COLORS[k]) for k in range(n_channels)]
    if n_channels > 1:
        channels[0] = Channel("DAPI-405.1", NUCLEUS, "blue", "DNA & more")
    channels[-1] = Channel("GFP", PROTEIN, "green")
    return Vocabulary(Labels(tuple(labels)), Channels(tuple(channels)))


def write_model_folder(folder: Path, vocabulary: Vocabulary = HPA_2018) -> Path:
    folder.mkdir(parents=True)
    n_labels, names = len(vocabulary.labels), vocabulary.channels.names
    images = keras.Input((IMAGE_SIZE, IMAGE_SIZE, len(names)), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 255)(images)
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(scaled))
    keras.Model(images, keras.layers.Dense(n_labels, bias_initializer="ones")(pooled)).save(
        folder / "best.keras"
    )
    y_true = (np.arange(n_labels) == np.arange(2 * n_labels)[:, None] % n_labels).astype(np.uint8)
    y_prob = np.random.default_rng(1).random(y_true.shape, dtype=np.float32)
    if vocabulary == HPA_2018:
        thresholds = fit_thresholds(y_true, y_prob, vocabulary.labels)
    else:  # quicker
        thresholds = fit_by_rule("sweep", y_true, y_prob, vocabulary.labels, fixed=0.5, seed=0)
    write_json(folder / "thresholds.json", {"run_id": "r", **thresholds_to_json(thresholds)})
    drawn = (draw_pixels(seed, IMAGE_SIZE, len(names)) for seed in range(20))
    seen = fit_training_range(drawn, vocabulary.channels)
    write_json(folder / "training_range.json", seen.to_json())
    provenance = {
        "run_id": "r",
        "params": {"pack.odd_size": "refuse"},
        "archives": {"best.keras": sha256(folder / "best.keras")},
        "vocabulary": vocabulary.to_json(),
    }
    write_json(folder / "provenance.json", provenance)
    return folder
