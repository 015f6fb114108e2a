"""A training that is killed or stopped at any moment resumes to the same bits."""

import multiprocessing
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpa.training.checkpoints import Checkpoints
from support.interpreters import python_with
from support.paths import PYTHONPATH
from support.trainings import ending, split_in_order, train, train_and_log

N_KILLS = 20


@pytest.fixture(scope="module")
def split_dir(packed_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_in_order(packed_world, tmp_path_factory.mktemp("split") / "split", n_train=16)


@pytest.fixture(scope="module")
def context() -> Any:
    """Processes forked from a server that has loaded the libraries: each starts in a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hpa.training.loop", "support.networks"])
    return context


@pytest.fixture(scope="module")
def undisturbed(
    packed_world: Path, split_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    """What a training that nothing disturbs ends with."""
    folder = tmp_path_factory.mktemp("undisturbed")
    train(packed_world, split_dir, folder)
    return ending(folder)


def wait_for_a_round(process: Any, began: Any) -> None:
    while process.is_alive() and not began.wait(0.05):
        pass


def killed_after(process: Any, seconds: float) -> int:
    """Kill a training after some seconds, unless it has ended; return its exit code."""
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return int(process.exitcode)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(
    packed_world: Path,
    split_dir: Path,
    tmp_path: Path,
    context: Any,
    undisturbed: dict[str, object],
) -> None:
    def start() -> Any:
        began = context.Event()
        process = context.Process(target=train, args=(packed_world, split_dir, tmp_path, began))
        process.start()
        return process, began

    random = np.random.default_rng(3)
    codes, steps = [], []
    for _ in range(N_KILLS):
        process, began = start()
        wait_for_a_round(process, began)
        codes.append(killed_after(process, random.uniform(0, 0.5)))
        newest = Checkpoints(tmp_path / "checkpoints", {}).newest()
        steps.append(newest.step if newest else 0)
        if codes[-1] == 0:  # it had already ended: start over, more kills are due
            assert ending(tmp_path) == undisturbed
            Checkpoints(tmp_path / "checkpoints", {}).remove()
    assert codes.count(-signal.SIGKILL) >= N_KILLS / 2, (codes, steps)
    last, _ = start()
    last.join()
    assert last.exitcode == 0
    assert ending(tmp_path) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_asked_to_stop_leaves_a_checkpoint_of_its_last_step(
    packed_world: Path,
    split_dir: Path,
    tmp_path: Path,
    context: Any,
    undisturbed: dict[str, object],
    number: signal.Signals,
    code: int,
) -> None:
    began, folder = context.Event(), tmp_path / "stopped"
    process = context.Process(target=train_and_log, args=(packed_world, split_dir, folder, began))
    process.start()
    wait_for_a_round(process, began)
    os.kill(process.pid, number)
    process.join(60)
    errors = (folder / "stderr").read_text()
    assert process.exitcode == code, errors
    assert "ending after this step" in errors
    assert "Traceback" not in errors
    newest = Checkpoints(folder / "checkpoints", {}).newest()
    assert newest is not None
    assert 20 <= newest.step < 300

    train(packed_world, split_dir, folder)
    # 300 is not a multiple of 7: the newest checkpoint is that of step 294
    assert undisturbed["step"] == 294
    assert ending(folder) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "n_devices"), [("jax", 1), ("torch", 1), ("tensorflow", 2), ("jax", 2)]
)
def test_any_backend_and_several_devices_resume_to_the_same_bits(
    packed_world: Path, split_dir: Path, tmp_path: Path, backend: str, n_devices: int
) -> None:
    script = (python_with(backend), "-m", "support.trainings")
    arguments = (packed_world, split_dir, tmp_path, "--n-devices", n_devices)

    def run(*options: str) -> int:
        done = subprocess.run(
            [*script, *map(str, arguments), *options],
            env={**os.environ, "PYTHONPATH": PYTHONPATH, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    assert run("--die-after", "28") == -signal.SIGKILL  # within a round: 20 is a multiple
    assert run() == 0  # resumes the killed training, then trains a whole one
    assert ending(tmp_path / "killed") == ending(tmp_path / "whole")
