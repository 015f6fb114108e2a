"""Kill a training at random moments, resume it each time, and compare the results.

    python benchmarks/resume.py        half an hour, after make repro
    python benchmarks/resume.py --kills 5 --steps 12

Trains as params.yaml says, on data/packed and data/split, once undisturbed and once with kills.
Prints the step of each kill, whether the SHA-256 of all arrays (weights, optimizer, random states)
and of the history are equal at the end, and the cost of a checkpoint as a share of the steps
between two.
"""

import argparse
import hashlib
import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from hpa.config.params import load_params  # noqa: E402
from hpa.system.files import sha256  # noqa: E402
from hpa.training.checkpoints import Checkpoints  # noqa: E402


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=24, help="of the short training")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hpa.training.loop"])
    with TemporaryDirectory(prefix="hpa-resume-") as name:
        whole, killed = Path(name) / "whole", Path(name) / "killed"
        costs = context.SimpleQueue()
        started = time.monotonic()
        run(context, whole, arguments.steps, costs)
        seconds = time.monotonic() - started
        moments = random.Random(arguments.seed)
        for number in range(1, arguments.kills + 1):
            process = start(context, killed, arguments.steps)
            process.join(moments.uniform(0, seconds))
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
            process.join()
            newest = Checkpoints(killed / "checkpoints", {}).newest()
            step = newest.step if newest else 0
            print(f"kill {number:2d}: exit code {process.exitcode}, resumes from step {step}")
            if process.exitcode == 0:
                compare(whole, killed)
                Checkpoints(killed / "checkpoints", {}).remove()
        run(context, killed, arguments.steps)
        compare(whole, killed)
        step_s, checkpoint_s = costs.get()
    every = load_params(ROOT / "params.yaml").train.checkpoint_every
    share = checkpoint_s / (every * step_s)
    print(f"CPU seconds: {step_s:.2f} a step, {checkpoint_s:.2f} a checkpoint;")
    print(f"at train.checkpoint_every = {every}: {share:.2%} of the steps between two")


def start(context, folder, n_steps, costs=None):
    """Start a training in a process of its own."""
    process = context.Process(target=train, args=(folder, n_steps, costs))
    process.start()
    return process


def run(context, folder, n_steps, costs=None) -> None:
    """Train to the end."""
    process = start(context, folder, n_steps, costs)
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


def train(folder: Path, n_steps: int, costs=None) -> None:
    """Train with a checkpoint every second step, and time both in CPU seconds."""
    from hpa.system.backends import prepare_backend

    prepare_backend()
    from hpa.training import loop

    spent, times = {"step": [], "checkpoint": []}, time.process_time

    def timed(function, name):
        def call(*arguments):
            started = times()
            result = function(*arguments)
            spent[name].append(times() - started)
            return result

        return call

    loop._train = timed(loop._train, "step")
    Checkpoints.write = timed(Checkpoints.write, "checkpoint")
    loop.Training.checkpoint = timed(loop.Training.checkpoint, "checkpoint")
    params = load_params(ROOT / "params.yaml")
    short = replace(params.train, n_steps=n_steps, validate_every=6, checkpoint_every=2)
    loop.fit(
        replace(params, train=short),
        packed_dir=ROOT / "data/packed",
        split_dir=ROOT / "data/split",
        model_dir=folder / "model",
        on_round=lambda *_: None,
        checkpoints=Checkpoints(folder / "checkpoints", {}),
    )
    if costs:  # the first fit of two steps compiles
        n_checkpoints = len(spent["checkpoint"]) / 2
        step_s = sum(spent["step"][1:]) / (2 * len(spent["step"][1:]))
        costs.put((step_s, sum(spent["checkpoint"]) / n_checkpoints))


def compare(whole: Path, killed: Path) -> None:
    """Print whether two trainings ended alike; exit with 1 if they did not."""
    ends = [ending(folder) for folder in (whole, killed)]
    for name, digest in ends[0].items():
        same = "equal" if digest == ends[1][name] else "DIFFERENT"
        print(f"  {name:10s} {digest[:16]} {ends[1][name][:16]} {same}")
    if ends[0] != ends[1]:
        sys.exit(1)


def ending(folder: Path) -> dict[str, str]:
    """Digest the arrays of the last checkpoint, and the history."""
    newest = Checkpoints(folder / "checkpoints", {}).newest()
    digests = {name: hashlib.sha256() for name in ("state", "best")}
    for name, array in sorted(newest.arrays.items()):
        if (group := name.partition("/")[0]) in digests:
            digests[group].update(array.tobytes())
    found = {name: digest.hexdigest() for name, digest in digests.items()}
    return found | {"history": sha256(folder / "model" / "history.csv")}


if __name__ == "__main__":
    main()
