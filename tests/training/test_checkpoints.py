import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hpa.errors import UserError
from hpa.training.checkpoints import Checkpoint, Checkpoints
from support.paths import ROOT

SOURCE_DIR = ROOT / "src"
HISTORY = [{"step": 2, "val/loss": 0.1 + 0.2}]


def checkpoint(step: int, n: int = 100) -> Checkpoint:
    arrays = {"state/0000": np.full((n,), step, np.float32), "state/0001": np.array(step)}
    return Checkpoint(step, arrays, HISTORY, run_id="abc")


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", {"seed": 7})


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_a_checkpoint_comes_back_as_it_was_written(checkpoints: Checkpoints) -> None:
    checkpoints.write(checkpoint(3))
    found = checkpoints.newest()
    assert found is not None
    assert (found.step, found.history, found.run_id) == (3, HISTORY, "abc")
    for name, array in checkpoint(3).arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, strict=True)


def test_the_newest_two_are_kept(checkpoints: Checkpoints) -> None:
    for step in (8, 9, 10, 11):
        checkpoints.write(checkpoint(step))
    assert names(checkpoints) == ["step-00000010", "step-00000011"]


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "no manifest"])
def test_a_damaged_checkpoint_is_named_and_the_previous_one_is_used(
    checkpoints: Checkpoints, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    for step in (1, 2):
        checkpoints.write(checkpoint(step))
    folder = checkpoints.folder / "step-00000002"
    ruin(folder, damage)
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 1
    assert f"warning: the checkpoint {folder} is damaged" in capsys.readouterr().err
    checkpoints.write(checkpoint(3))
    assert names(checkpoints) == ["step-00000001", "step-00000003"]  # two that are whole


def ruin(folder: Path, damage: str) -> None:
    state = folder / "state.npz"
    content = state.read_bytes()
    if damage == "flip":
        middle = len(content) // 2
        state.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "cut":
        state.write_bytes(content[:-1])
    else:
        (state if damage == "remove" else folder / "manifest.json").unlink()


def test_a_training_without_a_whole_checkpoint_starts_over_with_a_warning(
    checkpoints: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoints.newest() is None
    assert capsys.readouterr().err == ""
    for step in (1, 2):
        checkpoints.write(checkpoint(step))
        ruin(checkpoints.folder / f"step-{step:08d}", "flip")
    assert checkpoints.newest() is None
    assert "no checkpoint is whole, the training starts over" in capsys.readouterr().err


def test_a_full_disk_leaves_the_older_checkpoint_and_the_training_continues(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = Checkpoints(small_disk, {})
    assert checkpoints.write(checkpoint(1))
    assert not checkpoints.write(checkpoint(2, n=100_000))
    warning = capsys.readouterr().err
    assert "no room for the checkpoint of step 2" in warning
    assert "the last checkpoint is step-00000001" in warning
    assert names(checkpoints) == ["step-00000001"]
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 1


def test_a_disk_that_fills_during_the_write_leaves_the_older_checkpoint(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.write(checkpoint(1))

    def fill(path: Path, **_: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fill)
    with pytest.raises(UserError, match="the disk is full"):
        checkpoints.write(checkpoint(2))
    assert names(checkpoints) == ["step-00000001"]


def test_too_little_room_is_refused_before_training(checkpoints: Checkpoints) -> None:
    with pytest.raises(UserError, match="not enough free disk for checkpoints"):
        checkpoints.prepare(10**15)


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path / "checkpoints")]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a read-only disk can only be mounted by root")
    try:
        with pytest.raises(UserError, match=r"could not be written[\s\S]*write access"):
            Checkpoints(tmp_path / "checkpoints", {}).prepare(100)
    finally:
        subprocess.run(["umount", str(tmp_path / "checkpoints")], check=True)


def test_a_training_that_another_process_runs_is_refused_until_that_is_gone(
    checkpoints: Checkpoints,
) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from hpa.training.checkpoints import Checkpoints\n"
        "with Checkpoints(Path(sys.argv[1]), {'seed': 7}).held():\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(checkpoints.folder.parent)],
        env={**os.environ, "PYTHONPATH": str(SOURCE_DIR)},
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    other.stdout.readline()
    checkpoints.write(checkpoint(3))
    with pytest.raises(UserError, match=f"running in another process[\\s\\S]*{other.pid}"):
        checkpoints.held().__enter__()
    assert checkpoints.newest() is not None  # and it was not touched
    other.send_signal(signal.SIGKILL)
    other.communicate()
    with checkpoints.held():
        pass
    assert not checkpoints.folder.exists()


def test_checkpoints_outlive_a_failure_and_an_empty_folder_does_not(
    checkpoints: Checkpoints,
) -> None:
    with pytest.raises(StopIteration), checkpoints.held():
        raise StopIteration
    assert not checkpoints.folder.exists()
    checkpoints.write(checkpoint(3))
    with pytest.raises(StopIteration), checkpoints.held():
        raise StopIteration
    assert checkpoints.newest() is not None


def test_whenever_the_writing_is_killed_a_whole_checkpoint_is_found(
    checkpoints: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.write(checkpoint(1))
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from hpa.training.checkpoints import Checkpoint, Checkpoints\n"
        "checkpoints = Checkpoints(Path(sys.argv[1]), {'seed': 7})\n"
        "state = np.random.default_rng(0).random(1_000_000)\n"
        "for step in range(2, 10_000):\n"
        "    print(step, flush=True)\n"
        "    checkpoints.write(Checkpoint(step, {'state/0000': state}, []))\n"
    )
    random = np.random.default_rng(5)
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(checkpoints.folder.parent)],
            env={**os.environ, "PYTHONPATH": str(SOURCE_DIR)},
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.uniform(0, 0.15))
        writer.send_signal(signal.SIGKILL)
        started = len(writer.stdout.read().split()) + 2  # the step whose write began last
        writer.wait()
        writer.stdout.close()
        found = checkpoints.newest()
        assert found is not None
        assert found.step >= started - 1  # a whole checkpoint stays whole
    assert capsys.readouterr().err == ""  # no half-written one ever had its final name
