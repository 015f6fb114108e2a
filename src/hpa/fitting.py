"""The training loop: rounds of steps, a validation after each, the best weights kept.

It knows neither MLflow nor Optuna: whoever watches passes `on_round`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from hpa.config import Params
from hpa.data.assignment import read_assignment
from hpa.data.batches import TrainingBatches
from hpa.data.oversampling import repeat_factors
from hpa.data.packed import PackedImages, read_index
from hpa.errors import UserError
from hpa.files import atomic_path
from hpa.labels import indicator_matrix
from hpa.model.weights import weights_sha256
from hpa.prediction import predict_logits, sigmoid
from hpa.progress import progress
from hpa.recipe import compiled_networks
from hpa.scoring.ranking import best_macro_f1

VALIDATION_BATCH = 64


@dataclass(frozen=True, eq=False)
class Examples:
    """The images of one split: packed rows int[n] and labels uint8[n,28]."""

    rows: np.ndarray
    y_true: np.ndarray


def fit(
    params: Params,
    *,
    packed_dir: Path,
    split_dir: Path,
    model_dir: Path,
    on_round: Callable[[int, dict[str, float]], None],
) -> str:
    """Train a network and leave `best.keras`, `last.keras` and `history.csv` in `model_dir`.

    Best is the lowest validation loss: thresholds tuned on few positives make macro F1 a
    misleading judge of checkpoints.

    Args:
        params: sections model, loss, augment and train.
        packed_dir, split_dir: what the pack and split stages wrote.
        model_dir: gets the three files, each whole or not at all.
        on_round: called after each validation with the step and the metrics, named
            `<split>/<metric>`; whatever it raises ends the training.

    Returns:
        The SHA-256 of the best weights (see `weights_sha256`).

    Raises:
        UserError: the loss is no longer a number.
    """
    keras.utils.set_random_seed(params.train.seed)
    images = PackedImages(packed_dir)
    index, split = read_index(packed_dir), read_assignment(split_dir)["split"]
    train, val = (examples_of(index, split, name) for name in ("train", "val"))
    factors = repeat_factors(params.train, train.y_true)
    label_rates = np.average(train.y_true, axis=0, weights=factors)
    network, model = compiled_networks(params, images.row_shape[0], label_rates)

    history: list[dict[str, float]] = []
    with progress(what="train", total=params.train.n_steps, unit="step") as bar:
        for first in range(0, params.train.n_steps, params.train.validate_every):
            end = min(first + params.train.validate_every, params.train.n_steps)
            batches = TrainingBatches(
                images,
                train.rows,
                train.y_true,
                batch_size=params.train.batch_size,
                seed=params.train.seed,
                augment=params.augment,
                repeat_factors=factors,
                first=first,
                end=end,
            )
            metrics = _train(model, batches, bar) | _validate(network, images, val)
            _require_finite(metrics, end)
            history.append({"step": end, **metrics})
            bar.set_postfix_str(f"val loss {metrics['val/loss']:.4f}")
            if metrics["val/loss"] == min(row["val/loss"] for row in history):
                save_model(network, model_dir / "best.keras")
                best = weights_sha256(network)
            on_round(end, metrics)
    save_model(network, model_dir / "last.keras")
    with atomic_path(model_dir / "history.csv") as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False, float_format="%.6g")
    return best


def examples_of(index: pd.DataFrame, split: pd.Series, name: str) -> Examples:
    """Pick the rows of a split from the packed index, with their labels."""
    rows = np.flatnonzero(split == name)
    return Examples(rows, indicator_matrix(index["Target"].iloc[rows]))


def save_model(model: keras.Model, path: Path) -> None:
    """Write a `.keras` archive that needs no class of this project to load, whole or not at all."""
    with atomic_path(path) as temporary:
        keras.Model(model.input, model.output, name=model.name).save(temporary)


def _train(model: keras.Model, batches: TrainingBatches, bar: Any) -> dict[str, float]:
    started = time.perf_counter()
    tick = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: bar.update(1))
    history = model.fit(batches, shuffle=False, verbose=0, callbacks=[tick]).history
    seconds = time.perf_counter() - started
    return {
        "train/loss": float(history["loss"][0]),
        "train/images_per_s": len(batches) * batches.batch_size / seconds,
    }


def _require_finite(metrics: dict[str, float], step: int) -> None:
    if not np.isfinite([metrics["train/loss"], metrics["val/loss"]]).all():
        raise UserError(
            f"training diverged before step {step}",
            expected="finite losses",
            received=f"train/loss {metrics['train/loss']}, val/loss {metrics['val/loss']}",
            remedy="lower train.learning_rate; the best weights of earlier rounds are kept",
        )


def _validate(network: keras.Model, images: PackedImages, val: Examples) -> dict[str, float]:
    """Judge the whole split at once; macro F1 with thresholds fitted on it, so optimistic."""
    logits = predict_logits(network, images, val.rows, batch_size=VALIDATION_BATCH)
    return {
        "val/loss": float(network.loss(val.y_true, logits)),
        "val/macro_f1": best_macro_f1(val.y_true, sigmoid(logits)),
    }
