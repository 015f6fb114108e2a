"""Speed of training: our compiled step, and `train` as a whole, against plain PyTorch.

    python benchmarks/training.py                           our step alone, two minutes
    python benchmarks/training.py --torch-python PATH       beside PyTorch, and our step on it
    python benchmarks/training.py --whole                   train.py end to end, 15 minutes

PATH is a Python with torch (the CPU build: https://pytorch.org/get-started/locally), which the lock
of this project does not include. If it also has all our packages, our step can run on Keras' other
backends there (--contestants). Each contestant is a process of its own, bound to the same cores.
They take turns, one round each, so that other load affects all alike. CPU seconds are user and
system time of all threads; medians over the rounds. A ratio above 1 means faster than PyTorch. The
bare step takes batches of random pixels in memory, without augmentation.

--whole runs `src/train.py` on --data (as make repro leaves it) for one round and for two. The
difference, a round with its reading, augmentation, checkpoints and validation, is compared with as
many bare steps of the same size.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]
N_LABELS = 28
PLAIN, OURS = "pytorch", "tensorflow"


def main() -> None:
    """Measure and print."""
    arguments = parse()
    if arguments.worker:
        serve(arguments)
        return
    if arguments.whole:
        print_whole(arguments)
        return
    for size in arguments.sizes:
        print_steps(size, arguments)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256], help="pixels")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps per round")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="cores to use")
    parser.add_argument("--torch-python", type=Path, help="a Python that has torch")
    parser.add_argument(
        "--contestants",
        nargs="+",
        metavar="NAME",
        help="of pytorch, tensorflow, tensorflow-xla, jax, torch; all but tensorflow run in PATH",
    )
    parser.add_argument("--whole", action="store_true", help="train.py end to end")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="with packed and split")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.contestants:
        arguments.contestants = [OURS] + ([PLAIN] if arguments.torch_python else [])
    if arguments.torch_python is None and {PLAIN, "jax", "torch"} & set(arguments.contestants):
        parser.error("pytorch, jax and torch need --torch-python PATH, a Python that has them")
    return arguments


def print_steps(size: int, arguments: argparse.Namespace) -> None:
    """Let the contestants take turns and print their medians as Markdown."""
    workers = {name: start(name, size, arguments) for name in arguments.contestants}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
    for _ in range(arguments.rounds):
        for name, worker in workers.items():
            seconds[name].append(ask(worker, arguments.steps))
    for worker in workers.values():
        worker.communicate()
    batch, threads = arguments.batch_size, arguments.threads
    print(f"\n{size}², batch {batch}, {threads} core(s), {arguments.rounds} rounds\n")
    print("| step | CPU s | wall s | PyTorch's CPU s / its own | of wall s |")
    print("|---|---|---|---|---|")
    medians = {name: np.median(rounds, axis=0) for name, rounds in seconds.items()}
    for name, median in medians.items():
        ratio = medians[PLAIN] / median if PLAIN in medians else (np.nan, np.nan)
        print(f"| {name} | {median[0]:.2f} | {median[1]:.2f} | {ratio[0]:.2f} | {ratio[1]:.2f} |")


def print_whole(arguments: argparse.Namespace) -> None:
    """Compare the second round of a training with bare steps."""
    from hpa.config.params import load_params
    from hpa.data.packed.packed_images import PackedImages

    params = load_params(ROOT / "params.yaml")
    every, batch_size = params.train.validate_every, params.train.batch_size
    size = PackedImages(arguments.data / "packed").row_shape[0]
    arguments.batch_size = batch_size
    worker = start(OURS, size, arguments)

    def bare_steps() -> list[tuple[float, float]]:
        return [ask(worker, arguments.steps) for _ in range(arguments.rounds)]

    rounds = bare_steps()  # before, between and after: the load of the machine changes
    first = train_seconds(every, arguments)
    rounds += bare_steps()
    second = train_seconds(2 * every, arguments)
    rounds += bare_steps()
    worker.communicate()
    bare = np.median(rounds, axis=0) * every
    print(f"\n{size}², batch {batch_size}, {arguments.threads} core(s), {every} steps\n")
    print("| | CPU s | wall s |")
    print("|---|---|---|")
    print(f"| a round of train.py | {second[0] - first[0]:.1f} | {second[1] - first[1]:.1f} |")
    print(f"| as many bare steps | {bare[0]:.1f} | {bare[1]:.1f} |")
    ratio = bare / (second - first)
    print(f"| ratio | {ratio[0]:.2f} | {ratio[1]:.2f} |")


def train_seconds(n_steps: int, arguments: argparse.Namespace) -> np.ndarray:
    """Run train.py; return its CPU and wall seconds, with start and compilation."""
    with TemporaryDirectory(prefix="hpa-training-") as name:
        folder = Path(name)
        (folder / "params.yaml").symlink_to(ROOT / "params.yaml")
        (folder / "data").symlink_to(arguments.data.resolve())
        environment = {**os.environ, "DVC_ROOT": name, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
        before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, str(ROOT / "src" / "train.py"), "--n_steps", str(n_steps)],
            cwd=folder,
            env=environment,
            check=True,
            stdout=sys.stderr,
            preexec_fn=lambda: hold_cores(arguments.threads),
        )
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - clock
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return np.array([cpu, wall])


def start(name: str, size: int, arguments: argparse.Namespace) -> "subprocess.Popen[str]":
    """Start a contestant and wait until it has compiled its step."""
    python = sys.executable if name.startswith(OURS) else str(arguments.torch_python)
    options = {"--sizes": size, "--batch-size": arguments.batch_size, "--worker": name}
    options |= {"--threads": arguments.threads}
    words = [word for pair in options.items() for word in map(str, pair)]
    if name != OURS:
        words += ["--torch-python", str(arguments.torch_python)]
    worker = subprocess.Popen(
        [python, str(Path(__file__).resolve()), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERAS_BACKEND": name.partition("-")[0]},
    )
    ask(worker, 2)
    return worker


def ask(worker: "subprocess.Popen[str]", n_steps: int) -> tuple[float, float]:
    """Let a contestant do some steps; return its CPU and wall seconds per step."""
    assert worker.stdin
    assert worker.stdout
    print(n_steps, file=worker.stdin, flush=True)
    answer = worker.stdout.readline()
    if not answer:
        raise SystemExit(f"a contestant ended: {worker.args}")
    cpu, wall = json.loads(answer)
    return cpu, wall


def serve(arguments: argparse.Namespace) -> None:
    """Do as many steps as each line of standard input asks for."""
    hold_cores(arguments.threads)
    name, size, batch = arguments.worker, arguments.sizes[0], arguments.batch_size
    step = torch_step(size, batch) if name == PLAIN else keras_step(size, batch, name)
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        n_steps = int(line)
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(n_steps):
            step()
        spent = (time.process_time() - cpu, time.perf_counter() - wall)
        print(json.dumps([each / n_steps for each in spent]), file=answers, flush=True)


def hold_cores(n_cores: int) -> None:
    """Bind this process to some cores; the libraries then start as many threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
    os.environ["OMP_NUM_THREADS"] = str(n_cores)


def random_batch(size: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8[B,S,S,4] and float32[B,28]."""
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (batch_size, size, size, 4), dtype=np.uint8)
    return images, (random.random((batch_size, N_LABELS)) < 0.06).astype(np.float32)


def keras_step(size: int, batch_size: int, name: str) -> Callable[[], Any]:
    """Return the step of the recipe in params.yaml, on the backend in force."""
    from hpa.config.params import load_params
    from hpa.config.sections import Augment
    from hpa.system.backends import prepare_backend

    prepare_backend()
    from hpa.training.recipe import compiled_networks
    from hpa.vocabulary.hpa2018 import HPA_2018

    params = load_params(ROOT / "params.yaml")
    still = Augment(turn=False, rotation=0.0, zoom=0.0, blur=0.0, contrast=0.0)
    _, model = compiled_networks(
        replace(params, augment=still), HPA_2018, size, np.full(N_LABELS, 0.06)
    )
    if name.endswith("-xla"):
        model.jit_compile = True
    images, y_true = random_batch(size, batch_size)
    return lambda: model.train_on_batch({"images": images}, y_true)


def torch_step(size: int, batch_size: int) -> Callable[[], Any]:
    """Return the step of the plain loop."""
    import plain_torch
    import torch

    trainer = plain_torch.Trainer()
    images, y_true = map(torch.from_numpy, random_batch(size, batch_size))
    return lambda: float(trainer.step(images, y_true))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as hpa.system.backends does
    main()
