# ruff: noqa: E402
"""Time of each part of a training round.

    python benchmarks/round_parts.py        three minutes, after make repro

Prints CPU seconds (user and system, all threads) and wall-clock seconds of a bare step (always the
same batch of random pixels), of the same step fed by `fit` from packed files, without and with
augmentation, of a validation, of best.keras and of a checkpoint; and the share of the bare steps in
a round of `train.validate_every` steps. The three kinds of step take turns; the medians are
printed.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hpa.system.backends import prepare_backend

prepare_backend()  # before anything loads Keras

from training import random_batch

from hpa.config.params import Params, load_params
from hpa.config.sections import Augment
from hpa.data.batches.packed_batches import TrainingBatches
from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.inference.prediction import predict_logits, sigmoid
from hpa.thresholds.cross_fitting import validation_metrics
from hpa.training.checkpoints import Checkpoints
from hpa.training.loop import VALIDATION_BATCH, Examples, examples_of
from hpa.training.recipe import compiled_networks
from hpa.training.state import Training
from hpa.vocabulary.hpa2018 import HPA_2018, LABELS

ROOT = Path(__file__).resolve().parents[1]
LABEL_RATE = 0.06
STILL = Augment(turn=False, rotation=0.0, zoom=0.0, blur=0.0, contrast=0.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="with packed and split")
    parser.add_argument("--steps", type=int, default=12, help="steps per turn")
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    params = load_params(ROOT / "params.yaml")
    bench = Bench(params, arguments.data)
    steps = bench.time_steps(arguments.steps, arguments.rounds)
    once = bench.time_rests()
    every = params.train.validate_every
    checkpoints = every / params.train.checkpoint_every * once["a checkpoint"]
    rests = once["a validation"] + once["best.keras"] + checkpoints
    whole = every * steps["a step, augmented"] + rests
    print("| | CPU s | wall-clock s |")
    print("|---|---|---|")
    for part, (cpu, clock) in (steps | once).items():
        print(f"| {part} | {cpu:.2f} | {clock:.2f} |")
    print(f"| a round of {every} steps | {whole[0]:.0f} | {whole[1]:.0f} |")
    cpu, clock = every * steps["a bare step"] / whole
    print(f"| bare steps / round | {cpu:.2f} | {clock:.2f} |")


class Bench:
    """The recipe of params.yaml, with and without augmentation."""

    def __init__(self, params: Params, data: Path) -> None:
        """Read the indices of packed images and split in `data`, and build the networks."""
        self.params, self.images = params, PackedImages(data / "packed")
        index = read_index(data / "packed")
        split = read_assignment(data / "split", params.train.fold)["split"]
        self.train, self.val = (
            examples_of(index, split, name, LABELS) for name in ("train", "val")
        )
        self.size = self.images.row_shape[0]
        self.networks = {
            augment: compiled_networks(
                replace(params, augment=augment),
                HPA_2018,
                self.size,
                np.full(len(LABELS), LABEL_RATE),
            )
            for augment in (STILL, params.augment)
        }

    def time_steps(self, n_steps: int, n_turns: int) -> dict[str, np.ndarray]:
        """Return the medians of [CPU s, wall-clock s] of a step of each kind."""
        images, y_true = random_batch(self.size, self.params.train.batch_size)
        model = self.networks[STILL][1]

        def bare(n_steps: int) -> None:
            for _ in range(n_steps):
                model.train_on_batch({"images": images}, y_true)

        kinds: dict[str, Callable[[int], None]] = {
            "a bare step": bare,
            "a step, read from packed files": partial(self._fit, STILL),
            "a step, augmented": partial(self._fit, self.params.augment),
        }
        for take in kinds.values():
            take(3)  # compiles
        turns = [
            {name: spent(partial(take, n_steps)) / n_steps for name, take in kinds.items()}
            for _ in range(n_turns)
        ]
        return {name: np.median([turn[name] for turn in turns], axis=0) for name in kinds}

    def time_rests(self) -> dict[str, np.ndarray]:
        """Return [CPU s, wall-clock s] of the parts of a round besides its steps."""
        network, model = self.networks[self.params.augment]
        first = slice(0, VALIDATION_BATCH)
        self._validate(Examples(self.val.rows[first], self.val.ids[first], self.val.y_true[first]))
        with TemporaryDirectory(prefix="hpa-round-") as name:
            training = Training(network, model, Path(name))
            checkpoints = Checkpoints(Path(name), {"benchmark": "round_parts"})
            return {
                "a validation": spent(lambda: self._validate(self.val)),
                "best.keras": spent(training.keep_best),
                "a checkpoint": spent(lambda: checkpoints.write(training.checkpoint(""))),
            }

    def _fit(self, augment: Augment, n_steps: int) -> None:
        batches = TrainingBatches(
            self.images,
            self.train.rows,
            self.train.y_true,
            batch_size=self.params.train.batch_size,
            seed=self.params.train.seed,
            augment=augment,
            end=n_steps,
        )
        self.networks[augment][1].fit(batches.feed(), shuffle=False, verbose=0)

    def _validate(self, val: Examples) -> None:
        network, _ = self.networks[self.params.augment]
        n_at_once = min(VALIDATION_BATCH, self.params.train.batch_size)
        logits = predict_logits(network, self.images, val.rows, batch_size=n_at_once)
        validation_metrics(val.y_true, sigmoid(logits))


def spent(function: Callable[[], None]) -> np.ndarray:
    """Return the CPU and wall-clock seconds of a call."""
    cpu, clock = time.process_time(), time.perf_counter()
    function()
    return np.array([time.process_time() - cpu, time.perf_counter() - clock])


if __name__ == "__main__":
    main()
