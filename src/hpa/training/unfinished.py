"""Unfinished trainings: list them, cap the disk they take, and make room for a running one.

Each is a folder of checkpoints (see `hpa.training.checkpoints`). One whose lock is free is
abandoned until the same training resumes it.
"""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hpa.errors import UserError
from hpa.system.files import read_json

STALE_DAYS = 14
MAX_ABANDONED_BYTES = 8 * 10**9
"""Cap of all abandoned trainings: twelve of a ResNet-34, so that an interrupted search resumes."""
TRAINING, LOCK = "training.json", "lock"
KEY = re.compile(r"[0-9a-f]{16}")
"""Names of the folders, directly in the root; an earlier version had a folder `search` between."""


@dataclass(frozen=True)
class Unfinished:
    """A training's folder: its last step, when that was written, and what it belongs to."""

    folder: Path
    step: int
    written: float  # seconds since 1970
    n_bytes: int
    is_running: bool
    training: dict[str, Any]  # content of training.json; empty if it cannot be read

    @property
    def age_days(self) -> float:
        """Days since the last checkpoint."""
        return (time.time() - self.written) / 86_400

    def __str__(self) -> str:
        return f"{self.folder} (step {self.step}, {self.n_bytes / 1e6:,.0f} MB)"


def find_unfinished(root: Path) -> list[Unfinished]:
    """Return all unfinished trainings below a folder, the oldest first."""
    folders = [path for path in root.rglob("*") if KEY.fullmatch(path.name) and path.is_dir()]
    return sorted(map(_read, folders), key=lambda each: each.written)


def remove_stale(root: Path, mine: Path) -> None:
    """Remove trainings abandoned for two weeks, then the oldest until the others keep the cap."""
    others = _abandoned(root, mine)
    for each in [each for each in others if each.age_days > STALE_DAYS]:
        _remove(each, f"no checkpoint for {STALE_DAYS} days")
        others.remove(each)
    total = sum(each.n_bytes for each in others)
    reason = f"more than {MAX_ABANDONED_BYTES / 1e9:g} GB of abandoned trainings"
    _remove_while(others, lambda removed: total - removed > MAX_ABANDONED_BYTES, reason)


def make_room(root: Path, mine: Path, n_bytes: int) -> bool:
    """Remove the oldest abandoned trainings until so many bytes are free; tell whether they are."""

    def is_short(_removed: int = 0) -> bool:
        return shutil.disk_usage(root).free < n_bytes

    if is_short():
        _remove_while(_abandoned(root, mine), is_short, "the disk is short of space")
    return not is_short()


def summary(root: Path, mine: Path) -> str | None:
    """Return a line about the abandoned trainings; None without any."""
    others = _abandoned(root, mine)
    if not others:
        return None
    size = sum(each.n_bytes for each in others) / 1e6
    return (
        f"note: {root} holds {len(others)} abandoned training(s), {size:,.0f} MB; "
        "python src/train.py --checkpoints lists them"
    )


def listing(root: Path, training: dict[str, Any]) -> str:
    """Describe every unfinished training, and how it differs from `training`, the present one."""
    found = find_unfinished(root)
    size = sum(each.n_bytes for each in found) / 1e6
    lines = [f"{len(found)} unfinished training(s) in {root}, {size:,.0f} MB"]
    for each in found:
        state = "running" if each.is_running else "abandoned"
        lines.append(
            f"  step {each.step:>6}  {each.age_days:5.1f} days  {each.n_bytes / 1e6:8,.0f} MB  "
            f"{state:9}  {each.folder.relative_to(root)}  {_origin(each.training, training)}"
        )
    if found:
        lines += [
            "The same parameters, data and code resume one. An abandoned one is removed "
            f"{STALE_DAYS} days after its last checkpoint; the oldest earlier, if they exceed "
            f"{MAX_ABANDONED_BYTES / 1e9:g} GB or a training needs the space. To remove one now: "
            f"rm -r {root}/NAME",
        ]
    return "\n".join(lines)


def is_held(folder: Path) -> bool:
    """Tell whether a process holds the lock of a folder."""
    if not (folder / LOCK).is_file():
        return False
    with _locked(folder) as acquired:
        return not acquired


def _read(folder: Path) -> Unfinished:
    training: dict[str, Any] = {}
    with suppress(UserError):
        training = read_json(folder / TRAINING)
    steps = sorted(folder.glob("step-*"))
    return Unfinished(
        folder,
        int(steps[-1].name.partition("-")[2]) if steps else 0,
        _written([*steps, folder / TRAINING, folder]),
        _size(folder),
        is_held(folder),
        training,
    )


def _written(paths: list[Path]) -> float:
    """Return the time of the newest of the first kind that exists: steps, or else the others."""
    times: list[float] = []
    for path in paths:
        if times and not path.name.startswith("step-"):
            break
        with suppress(OSError):  # its training has just removed it
            times.append(path.stat().st_mtime)
    return max(times, default=time.time())


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size
    return total


def _abandoned(root: Path, mine: Path) -> list[Unfinished]:
    return [e for e in find_unfinished(root) if e.folder != mine and not e.is_running]


def _remove_while(
    trainings: list[Unfinished], is_needed: Callable[[int], bool], reason: str
) -> None:
    """Remove trainings in their order while `is_needed`, which gets the bytes removed so far."""
    removed = 0
    for each in trainings:
        if not is_needed(removed):
            return
        if _remove(each, reason):
            removed += each.n_bytes


def _remove(each: Unfinished, reason: str) -> bool:
    """Remove an abandoned training, unless a process has resumed it meanwhile."""
    with _locked(each.folder) as acquired:
        if acquired:
            shutil.rmtree(each.folder, ignore_errors=True)
            print(f"note: removed the abandoned training {each}: {reason}", flush=True)
        return acquired


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder during the block, if no process holds it; yield whether."""
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):  # or it has just been removed, or belongs to another user
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _origin(then: dict[str, Any], now: dict[str, Any]) -> str:
    """Name what began a training, and what differs from the present one."""
    before, after = _flat(then.get("params", {})), _flat(now.get("params", {}))
    parts = [f"{key}={value}" for key, value in before.items() if after.get(key) != value]
    others = [key for key in now if key != "params" and then.get(key) != now[key]]
    parts += [f"other {key.partition('.')[0]}" for key in others]
    what = then.get("what", "training")
    return f"{what}: {', '.join(parts) or 'the present parameters, data and code'}"


def _flat(params: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        f"{section}.{key}": value for section, keys in params.items() for key, value in keys.items()
    }
