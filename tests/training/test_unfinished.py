"""Abandoned trainings: listed, capped, and removed before a disk gets full; running ones stay."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from hpa.errors import UserError
from hpa.training import unfinished
from hpa.training.checkpoints import Checkpoint, Checkpoints
from hpa.training.unfinished import find_unfinished, listing, summary
from support.paths import ROOT

KB = 1000


def begin(
    root: Path, seed: int, *, days: float, n_bytes: int = 10 * KB, what: str = "train"
) -> Checkpoints:
    """Leave a training abandoned some days ago, with a checkpoint of step `seed`."""
    training = {"params": {"train": {"seed": seed}}, "code.sha256": "a"}
    made = Checkpoints(root, training, what=what)
    state = np.zeros(n_bytes // 4, np.float32)
    with suppress(StopIteration), made.held():
        assert made.write(Checkpoint(seed, {"state/0000": state}, []))
        raise StopIteration
    age(made.folder, days)
    return made


def age(folder: Path, days: float) -> None:
    then = time.time() - days * 86_400
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (then, then))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def mine(root: Path) -> Checkpoints:
    return Checkpoints(root, {"params": {"train": {"seed": 7}}, "code.sha256": "a"})


@contextmanager
def held_by_another_process(checkpoints: Checkpoints) -> Iterator[None]:
    code = (
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]):\n    print('held', flush=True); time.sleep(600)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(checkpoints.folder / "lock")], stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        yield
    finally:
        other.kill()
        other.communicate()


def test_the_list_says_step_age_size_and_origin(root: Path) -> None:
    begin(root, 8, days=3, n_bytes=2_000 * KB)
    begin(root, 9, days=1, what="trial 4 of hpa")
    begin(root / "search", 6, days=2)  # where an earlier version kept them
    text = listing(root, {"params": {"train": {"seed": 9}}, "code.sha256": "b"})
    first, *lines = text.splitlines()
    assert first == f"3 unfinished training(s) in {root}, 2 MB"
    assert lines[0].split() == [
        *("step", "8", "3.0", "days", "2", "MB", "abandoned"),
        *(lines[0].split()[7], "train:", "train.seed=8,", "other", "code"),
    ]
    assert lines[1].endswith("train: train.seed=6, other code")
    assert lines[2].endswith("trial 4 of hpa: other code")
    assert "rm -r" in lines[3]


def test_a_running_training_is_listed_as_running_and_never_removed(
    root: Path, mine: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, idle = begin(root, 8, days=30), begin(root, 9, days=1)
    monkeypatch.setattr(unfinished, "MAX_ABANDONED_BYTES", 0)
    with held_by_another_process(running):
        assert [each.is_running for each in find_unfinished(root)] == [True, False]
        mine.prepare(100)
        assert running.newest() is not None
        assert not idle.folder.exists()
        assert summary(root, mine.folder) is None
    mine.prepare(100)  # its process is gone
    assert not running.folder.exists()


def test_a_training_abandoned_for_two_weeks_is_removed_and_a_younger_one_stays(
    root: Path, mine: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    young = begin(root, 8, days=13)
    old = begin(root, 9, days=15)
    mine.prepare(100)
    assert young.newest() is not None
    assert not old.folder.exists()
    assert f"removed the abandoned training {old.folder} (step 9" in capsys.readouterr().out
    assert "1 abandoned training(s)" in str(summary(root, mine.folder))
    assert mine.newest() is None  # another training's state is never used


def test_beyond_the_cap_the_oldest_are_removed_first(
    root: Path, mine: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = [begin(root, seed, days=days) for seed, days in ((1, 2), (2, 4), (3, 1), (4, 3))]
    size = find_unfinished(root)[0].n_bytes
    monkeypatch.setattr(unfinished, "MAX_ABANDONED_BYTES", int(2.5 * size))
    mine.prepare(100)
    assert [each.folder.exists() for each in trainings] == [True, False, True, False]


def test_a_running_training_removes_abandoned_ones_before_the_disk_is_full(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """128 KiB: two abandoned trainings of 30 kB, then checkpoints of 20 kB."""
    older, old = (begin(small_disk, s, days=d, n_bytes=30 * KB) for s, d in ((1, 2), (2, 1)))
    mine = Checkpoints(small_disk, {"seed": 7})
    state = {"state/0000": np.zeros(5 * KB, np.float32)}
    mine.prepare(20 * KB)  # needs four times as much
    assert not older.folder.exists()
    for step in (10, 20, 30):
        assert mine.write(Checkpoint(step, state, []))
    assert "the disk is short of space" in capsys.readouterr().out
    assert not old.folder.exists()
    assert sorted(path.name for path in mine.folder.glob("step-*"))[-1] == "step-00000030"
    free = os.statvfs(small_disk)
    assert free.f_bavail * free.f_frsize > 20 * KB  # room for the model's files


def test_a_resumed_training_counts_its_own_checkpoints_as_room(small_disk: Path) -> None:
    mine = Checkpoints(small_disk, {"seed": 7})
    mine.prepare(24 * KB)
    for step in (10, 20):
        mine.write(Checkpoint(step, {"state/0000": np.zeros(6 * KB, np.float32)}, []))
    mine.prepare(24 * KB)
    assert mine.newest() is not None
    with pytest.raises(UserError, match="not enough free disk for checkpoints"):
        Checkpoints(small_disk, {"seed": 8}).prepare(60 * KB)


def test_what_a_killed_write_left_is_removed_when_the_training_resumes(mine: Checkpoints) -> None:
    half = mine.folder / ".partial-1-step-00000485"
    half.mkdir(parents=True)
    (half / "state.npz").write_bytes(b"half of it")
    mine.prepare(100)
    assert not half.exists()


def test_a_lock_that_a_listing_holds_for_a_moment_refuses_no_training(mine: Checkpoints) -> None:
    mine.prepare(100)
    for _ in range(20):
        with mine.held():
            assert [each.is_running for each in find_unfinished(mine.folder.parent)] == [True]


@pytest.mark.slow
def test_the_command_lists_and_trains_nothing(tmp_path: Path) -> None:
    begin(tmp_path / ".checkpoints", 8, days=1)
    done = subprocess.run(
        [sys.executable, str(ROOT / "src/train.py"), "--checkpoints"],
        cwd=ROOT,
        env={**os.environ, "DVC_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"1 unfinished training(s) in {tmp_path}/.checkpoints")
    assert "train: train.seed=8" in done.stdout
    assert not (tmp_path / "mlflow.db").exists()
