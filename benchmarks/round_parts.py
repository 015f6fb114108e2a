"""Where the time of a round of training goes, part by part.

    python benchmarks/round_parts.py        three minutes, after make repro

Prints CPU seconds (user and system, all threads) and seconds by the clock of a bare step (one batch
of random pixels again and again), of the same step fed by `fit` from packed files, without and with
changes of the images, of a validation, of best.keras and of a checkpoint; and of all of a round of
`train.validate_every` steps what the bare steps are. The three steps take turns; medians of them.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hpa import config
from hpa.backends import prepare_backend

ROOT = Path(__file__).resolve().parents[1]
LABEL_RATE = 0.06
STILL = config.Augment(turn=False, rotation=0.0, zoom=0.0, brightness=0.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="with packed and split")
    parser.add_argument("--steps", type=int, default=12, help="steps a turn")
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    params = config.load(ROOT / "params.yaml")
    with TemporaryDirectory(prefix="hpa-round-") as name:
        seconds = measure(params, arguments, Path(name))
    train = params.train
    n_checkpoints = train.validate_every / train.checkpoint_every
    whole = (
        train.validate_every * seconds["a step, with changes"]
        + seconds["a validation"]
        + seconds["best.keras"]
        + n_checkpoints * seconds["a checkpoint"]
    )
    print("| | CPU s | s by the clock |")
    print("|---|---|---|")
    for part, (cpu, clock) in seconds.items():
        print(f"| {part} | {cpu:.2f} | {clock:.2f} |")
    print(f"| a round of {train.validate_every} steps | {whole[0]:.0f} | {whole[1]:.0f} |")
    cpu, clock = train.validate_every * seconds["a bare step"] / whole
    print(f"| bare steps / round | {cpu:.2f} | {clock:.2f} |")


def measure(
    params: config.Params, arguments: argparse.Namespace, folder: Path
) -> dict[str, np.ndarray]:
    """Return [CPU s, clock s] of each part."""
    from hpa.checkpoints import Checkpoints
    from hpa.data.assignment import read_assignment
    from hpa.data.batches import TrainingBatches
    from hpa.data.packed import PackedImages, read_index
    from hpa.fitting import VALIDATION_BATCH, examples_of
    from hpa.labels import N_LABELS
    from hpa.prediction import predict_logits, sigmoid
    from hpa.recipe import compiled_networks
    from hpa.scoring.halves import judge_scores
    from hpa.training import Training

    packed = arguments.data / "packed"
    images, index, n = PackedImages(packed), read_index(packed), arguments.steps
    split = read_assignment(arguments.data / "split", params.train.fold)["split"]
    learns, val = (examples_of(index, split, name) for name in ("train", "val"))
    size, rates = images.row_shape[0], np.full(N_LABELS, LABEL_RATE)
    networks = {
        augment: compiled_networks(replace(params, augment=augment), size, rates)
        for augment in (STILL, params.augment)
    }

    def fit(augment: config.Augment, n_steps: int) -> None:
        batches = TrainingBatches(
            images,
            learns.rows,
            learns.y_true,
            batch_size=params.train.batch_size,
            seed=params.train.seed,
            augment=augment,
            end=n_steps,
        )
        networks[augment][1].fit(batches, shuffle=False, verbose=0)

    random = np.random.default_rng(1)
    shape = (params.train.batch_size, size, size, 4)
    batch = {"images": random.integers(0, 256, shape, dtype=np.uint8)}
    labels = (random.random((shape[0], N_LABELS)) < LABEL_RATE).astype(np.float32)

    def bare(n_steps: int) -> None:
        for _ in range(n_steps):
            networks[STILL][1].train_on_batch(batch, labels)

    steps: dict[str, Callable[[int], None]] = {
        "a bare step": bare,
        "a step, read from packed files": lambda n_steps: fit(STILL, n_steps),
        "a step, with changes": lambda n_steps: fit(params.augment, n_steps),
    }
    for step in steps.values():
        step(3)  # compiles
    turns = [
        {name: spent(lambda step=step: step(n)) / n for name, step in steps.items()}
        for _ in range(arguments.rounds)
    ]
    seconds = {name: np.median([turn[name] for turn in turns], axis=0) for name in steps}

    network, model = networks[params.augment]
    training = Training(network, model, folder)
    checkpoints = Checkpoints(folder, {"benchmark": "round_parts"})

    def validate(rows: np.ndarray, y_true: np.ndarray) -> None:
        logits = predict_logits(network, images, rows, batch_size=VALIDATION_BATCH)
        judge_scores(y_true, sigmoid(logits))

    validate(val.rows[:VALIDATION_BATCH], val.y_true[:VALIDATION_BATCH])  # compiles
    seconds["a validation"] = spent(lambda: validate(val.rows, val.y_true))
    seconds["best.keras"] = spent(training.keep_best)
    seconds["a checkpoint"] = spent(lambda: checkpoints.write(training.checkpoint("")))
    return seconds


def spent(function: Callable[[], None]) -> np.ndarray:
    """Return the CPU and clock seconds of a call."""
    cpu, clock = time.process_time(), time.perf_counter()
    function()
    return np.array([time.process_time() - cpu, time.perf_counter() - clock])


if __name__ == "__main__":
    prepare_backend()
    main()
