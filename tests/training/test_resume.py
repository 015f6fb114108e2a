"""Trainings killed at random moments, and what they end with."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpa.data.packed import read_index
from hpa.data.splits.splitting import write_split
from hpa.training.checkpoints import Checkpoints
from support.interpreters import python_with
from support.paths import PYTHONPATH
from support.trainings import ending, train

N_KILLS = 20


@pytest.fixture
def split_dir(packed_world: Path, tmp_path: Path) -> Path:
    index = read_index(packed_world)
    split = np.repeat(["train", "val", "test"], [16, 16, len(index) - 32])
    split[~index["labelled"]] = "unlabelled"
    assignment = pd.DataFrame({"Id": index["Id"], "group": index.index, "split": split})
    write_split(tmp_path / "split", index, assignment)
    return tmp_path / "split"


def killed_after(process: Any, seconds: float, number: signal.Signals) -> int:
    """Let a training go on for a while, then send the signal; returns its exit code."""
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, number)
    process.join()
    return int(process.exitcode)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    # A server that has loaded the libraries forks the trainings: each starts in a second.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hpa.training.loop", "support.networks"])

    def start(name: str) -> Any:
        began = context.Event()
        process = context.Process(
            target=train, args=(packed_world, split_dir, tmp_path / name, began)
        )
        process.start()
        return process, began

    undisturbed, _ = start("undisturbed")
    undisturbed.join()
    assert undisturbed.exitcode == 0

    random = np.random.default_rng(3)
    codes, steps = [], []
    for _ in range(N_KILLS):
        process, began = start("killed")
        while process.is_alive() and not began.wait(0.05):
            pass  # until it trains
        codes.append(killed_after(process, random.uniform(0, 0.5), signal.SIGKILL))
        newest = Checkpoints(tmp_path / "killed" / "checkpoints", {}).newest()
        steps.append(newest.step if newest else 0)
        if codes[-1] == 0:  # it had already ended: begin again, further kills are due
            assert ending(tmp_path / "killed") == ending(tmp_path / "undisturbed")
            Checkpoints(tmp_path / "killed" / "checkpoints", {}).remove()
    assert codes.count(-signal.SIGKILL) >= N_KILLS / 2, (codes, steps)
    last, _ = start("killed")
    last.join()
    assert last.exitcode == 0
    assert ending(tmp_path / "killed") == ending(tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_asked_to_stop_leaves_a_checkpoint_of_its_last_step(
    packed_world: Path, split_dir: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    source = (
        "import sys; from pathlib import Path; from support import trainings\n"
        "class Began:\n"
        "    def set(self): print('a round', flush=True)\n"
        "trainings.train(*map(Path, sys.argv[1:]), Began())\n"
    )
    training = subprocess.Popen(
        [sys.executable, "-c", source, str(packed_world), str(split_dir), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert training.stdout is not None
    training.stdout.readline()
    training.send_signal(number)
    _, errors = training.communicate(timeout=60)
    assert training.returncode == code, errors
    assert "ending after this step" in errors
    assert "Traceback" not in errors
    newest = Checkpoints(tmp_path / "checkpoints", {}).newest()
    assert newest is not None
    assert newest.step >= 20

    train(packed_world, split_dir, tmp_path)
    train(packed_world, split_dir, tmp_path / "undisturbed")
    whole, stopped = (ending(folder) for folder in (tmp_path / "undisturbed", tmp_path))
    # 300 is no multiple of 7: the newest checkpoint is that of step 294
    assert whole["step"] == stopped["step"] == 294
    assert whole == stopped


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "n_devices"), [("jax", 1), ("torch", 1), ("tensorflow", 2), ("jax", 2)]
)
def test_any_backend_and_several_devices_go_on_to_the_same_bits(
    packed_world: Path, split_dir: Path, tmp_path: Path, backend: str, n_devices: int
) -> None:
    python = python_with(backend)
    script = ("-m", "support.trainings", packed_world, split_dir, "--n-devices", n_devices)

    def run(name: str, *options: str) -> int:
        done = subprocess.run(
            [python, *map(str, script), str(tmp_path / name), *options],
            env={**os.environ, "PYTHONPATH": PYTHONPATH, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    assert run("whole") == 0
    assert run("killed", "--die-after", "28") == -signal.SIGKILL  # amid a round: 20 is a multiple
    assert run("killed") == 0
    assert ending(tmp_path / "killed") == ending(tmp_path / "whole")
