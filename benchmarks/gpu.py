"""Training on a GPU: Keras on JAX and on PyTorch against a good plain PyTorch loop, end to end.

    python benchmarks/gpu.py --python PATH              31,072 images at 256², ten epochs each
    python benchmarks/gpu.py --contestants jax --rows 64 --size 64 --epochs 2 --device cpu

PATH is a Python with this project's packages, and with jax and torch as the contestants need
(default: this Python). The project simulates and packs --distinct images; an epoch repeats them up
to --rows, each time read from disk. Ours is the loop of `hpa.training.loop` as `src/train.py` runs
it, without checkpoints; PyTorch's is `plain_torch.py` (channels_last, autocast, torch.compile) fed
by a thread that reads ahead. Both compute in bfloat16 on a GPU and in float32 on a CPU, and see the
same images in the same order without augmentation. The validation after each epoch is not timed.
Images per second are the median over all epochs except the first, which compiles.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]
PLAIN, SEED = "pytorch", 7
EPOCH = tuple[float, float]  # images per second, macro F1 of val


def main() -> None:
    """Train each contestant in a process of its own, one after the other, and print."""
    arguments = parse()
    if arguments.worker:
        train(arguments)
        return
    with TemporaryDirectory(prefix="hpa-gpu-", dir=arguments.data) as name:
        make_world(Path(name), arguments)
        outcomes = {each: run(each, Path(name), arguments) for each in arguments.contestants}
    print_outcomes(outcomes, arguments)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=31_072, help="images per epoch")
    parser.add_argument("--distinct", type=int, default=3000, help="images simulated, at most rows")
    parser.add_argument("--size", type=int, default=256, help="pixels, a multiple of 32")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=128, help="at most rows")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument(
        "--contestants", nargs="+", choices=["jax", "torch", PLAIN], default=["jax", "torch", PLAIN]
    )
    parser.add_argument("--data", type=Path, help="folder for the images (default: TMPDIR)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--world", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.batch_size = min(arguments.batch_size, arguments.rows // 2)
    return arguments


def make_world(folder: Path, arguments: argparse.Namespace) -> None:
    """Simulate, pack and split; the simulation itself is much smaller than an epoch."""
    from hpa.data.packed.packed_images import read_index
    from hpa.data.packing import pack
    from hpa.data.sources.synthetic import fetch_synthetic
    from hpa.data.splits.splitting import split_images, write_split
    from hpa.vocabulary.hpa2018 import LABELS

    n_images = max(min(arguments.distinct, arguments.rows), 64)
    fetch_synthetic(
        folder / "raw",
        n_images=n_images,
        n_unlabelled=0,
        image_size=arguments.size,
        tempering=0.7,
        seed=2018,
    )
    pack(folder / "raw", folder / "packed", image_size=arguments.size, shard_rows=512)
    index = read_index(folder / "packed")
    shares = {"test_fraction": 0.05, "val_fraction": 0.25, "holdout_fraction": 0.0}
    assignment = split_images(index, LABELS, n_folds=1, hash_distance=6, seed=11, **shares)
    write_split(folder / "split", index, LABELS, assignment)


def run(name: str, world: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Start a contestant; return its epochs and the device."""
    options = {
        "--worker": name,
        "--world": world,
        "--rows": arguments.rows,
        "--epochs": arguments.epochs,
        "--batch-size": arguments.batch_size,
        "--device": arguments.device,
    }
    words = [str(word) for pair in options.items() for word in pair]
    environment = {**os.environ, "KERAS_BACKEND": "torch" if name == PLAIN else name}
    if arguments.device == "cpu":
        environment |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    print(f"{name}: training", file=sys.stderr)
    done = subprocess.run(
        [str(arguments.python), str(Path(__file__).resolve()), *words],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def train(arguments: argparse.Namespace) -> None:
    """Train as a contestant, and print the result as JSON."""
    loop = plain_epochs if arguments.worker == PLAIN else our_epochs
    answers, sys.stdout = sys.stdout, sys.stderr
    outcome = {"where": device_and_versions(arguments), "epochs": loop(arguments)}
    print(json.dumps(outcome), file=answers)


def recipe(arguments: argparse.Namespace) -> Any:
    """Return the parameters of params.yaml, with the number of steps asked for."""
    from hpa.config.params import load_params
    from hpa.config.sections import Augment

    params = load_params(ROOT / "params.yaml")
    n_steps = arguments.rows // arguments.batch_size
    half = arguments.device == "cuda"
    return replace(
        params,
        augment=Augment(turn=False, rotation=0.0, zoom=0.0, blur=0.0, contrast=0.0),
        train=replace(
            params.train,
            n_steps=n_steps * arguments.epochs,
            validate_every=n_steps,
            checkpoint_every=n_steps,
            batch_size=arguments.batch_size,
            precision="mixed_bfloat16" if half else "float32",
            seed=SEED,
        ),
    )


def our_epochs(arguments: argparse.Namespace) -> list[EPOCH]:
    """Train with this project's loop on the current backend."""
    from hpa.training.loop import fit

    epochs: list[EPOCH] = []

    def note(_step: int, metrics: dict[str, float]) -> None:
        epochs.append((metrics["train/images_per_s"], metrics["val/macro_f1"]))

    with TemporaryDirectory(prefix="hpa-gpu-model-") as model_dir:
        fit(
            recipe(arguments),
            packed_dir=arguments.world / "packed",
            split_dir=arguments.world / "split",
            model_dir=Path(model_dir),
            on_round=note,
        )
    return epochs


def plain_epochs(arguments: argparse.Namespace) -> list[EPOCH]:
    """Train with the plain loop on the same batches; reading runs ahead of the device."""
    import plain_torch
    import torch

    from hpa.data.batches.packed_batches import TrainingBatches
    from hpa.data.packed.assignment import read_assignment
    from hpa.data.packed.packed_images import PackedImages, read_index
    from hpa.thresholds.cross_fitting import validation_metrics
    from hpa.training.loop import examples_of
    from hpa.vocabulary.hpa2018 import LABELS

    params, world, device = recipe(arguments), arguments.world, arguments.device
    half, settings = device == "cuda", params.train
    images, index = PackedImages(world / "packed"), read_index(world / "packed")
    split = read_assignment(world / "split")["split"]
    learns, val = (examples_of(index, split, name, LABELS) for name in ("train", "val"))
    batches = TrainingBatches(
        images,
        learns.rows,
        learns.y_true,
        batch_size=settings.batch_size,
        seed=SEED,
        augment=params.augment,
        end=settings.n_steps,
    )
    torch.backends.cudnn.benchmark = half  # the fastest algorithm for images of one size
    trainer = plain_torch.Trainer(settings.n_steps, device, bfloat16=half)

    def read(step: int) -> list[Any]:
        inputs, y_true = batches.read(step)
        found = [torch.from_numpy(inputs["images"]), torch.from_numpy(y_true)]
        return [each.pin_memory() for each in found] if half else found

    def validate() -> float:
        trainer.model.eval()
        parts = []
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=half):
            for rows in np.array_split(val.rows, -(-len(val.rows) // 64)):
                pixels = torch.from_numpy(images.read(rows)).to(device).permute(0, 3, 1, 2)
                parts.append(torch.sigmoid(trainer.model(pixels).float()).cpu().numpy())
        trainer.model.train()
        return validation_metrics(val.y_true, np.concatenate(parts))["macro_f1"]

    epochs = []
    every = settings.validate_every
    with ThreadPoolExecutor(1) as reader:
        for first in range(0, settings.n_steps, every):
            started = time.perf_counter()
            ahead = [reader.submit(read, step) for step in range(first, first + 2)][:every]
            for step in range(first, first + every):
                batch = ahead.pop(0).result()
                if step + 2 < first + every:
                    ahead.append(reader.submit(read, step + 2))
                loss = trainer.step(*batch)
            float(loss)  # waits for the device
            rate = every * settings.batch_size / (time.perf_counter() - started)
            epochs.append((rate, validate()))
            print(f"{PLAIN}: {rate:.0f} images/s, loss {loss:.4f}", file=sys.stderr)
    return epochs


def device_and_versions(arguments: argparse.Namespace) -> str:
    """Return the names of the card and the libraries."""
    from importlib.metadata import version

    names = {"jax": ("keras", "jax"), "torch": ("keras", "torch"), PLAIN: ("torch",)}
    versions = ", ".join(f"{name} {version(name)}" for name in names[arguments.worker])
    if arguments.device == "cpu":
        return f"processor, {versions}"
    if arguments.worker == "jax":
        import jax

        return f"{jax.devices('gpu')[0].device_kind}, {versions}"
    import torch

    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, {versions}"


def print_outcomes(outcomes: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Print a table in Markdown."""
    precision = "mixed bfloat16" if arguments.device == "cuda" else "float32"
    print(f"\n{arguments.rows:,} images per epoch at {arguments.size}², {precision}, ", end="")
    print(f"batch {arguments.batch_size}, {arguments.epochs} epochs\n")
    print("| loop | images/s | of plain PyTorch's | s per epoch | macro F1 of val | on |")
    print("|---|---|---|---|---|---|")
    rates = {
        name: float(np.median([rate for rate, _ in each["epochs"]][1:] or each["epochs"][0][:1]))
        for name, each in outcomes.items()
    }
    for name, outcome in outcomes.items():
        ratio = rates[name] / rates[PLAIN] if PLAIN in rates else np.nan
        score, seconds = outcome["epochs"][-1][1], arguments.rows / rates[name]
        print(f"| {name} | {rates[name]:.4g} | {ratio:.2f} | {seconds:.3g} | {score:.3f} ", end="")
        print(f"| {outcome['where']} |")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
