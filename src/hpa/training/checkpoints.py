"""Checkpoints of a training: whole or absent, and verified before use.

    .checkpoints/<key>/training.json                     the content that the key digests
    .checkpoints/<key>/step-000320/state.npz             every array of the training
                                  /progress.json         history, and the run that wrote it
                                  /manifest.json         SHA-256 of both
                        /lock, process.json              the process that trains at present

They are in the repository, outside the outputs that DVC removes before it runs a stage. The key
digests all that decides the numbers of a training, so no training resumes from another's state.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from hpa.errors import UserError
from hpa.system import processes
from hpa.system.files import (
    atomic_path,
    digest,
    fsync,
    read_json,
    require_free_space,
    sha256,
    write_json,
)

KEPT = 2  # the newest, and the one before in case the newest gets damaged
STALE_DAYS = 14
STATE, PROGRESS, MANIFEST = "state.npz", "progress.json", "manifest.json"
TRAINING, LOCK, OWNER = "training.json", "lock", "process.json"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """State of a training after a step, and the tracked run that wrote it."""

    step: int
    arrays: dict[str, np.ndarray]  # weights, optimizer and random states
    history: list[dict[str, float]]  # the metrics of each round so far
    run_id: str = ""


class Checkpoints:
    """The folder of one training's checkpoints."""

    def __init__(self, root: Path, training: dict[str, Any]) -> None:
        """Name the folder in `root` by all that decides the numbers of a training."""
        self.folder, self._training = root / digest(training)[:16], training

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder for this process; remove it if the block, a whole training, succeeds.

        Two trainings in one folder would overwrite each other's checkpoints, and the first to end
        would remove them. The lock ends with the process, also when it is killed.

        Raises:
            UserError: another process holds the lock, or the folder cannot be written.
        """
        write_json(self.folder / TRAINING, self._training)
        lock = FileLock(self.folder / LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            owner = self.folder / OWNER
            pid = read_json(owner).split()[1] if owner.is_file() else "that has just started"
            raise UserError(
                "this training is running in another process",
                expected=f"no process that holds {self.folder}",
                received=f"process {pid}, with the same parameters, data and code",
                remedy="wait for its end, or stop it with SIGTERM and resume it by the same "
                "command; a second training beside it needs another train.seed",
            ) from error
        try:
            write_json(self.folder / OWNER, processes.identity())
            yield
            self.remove()
        finally:
            if not self._paths():
                self.remove()
            lock.release()

    def prepare(self, n_bytes: int) -> None:
        """Check that checkpoints of this size can be written, and remove other, stale ones.

        Raises:
            UserError: the disk has no room for checkpoints, or the folder cannot be written.
        """
        require_free_space(self.folder, (KEPT + 1) * n_bytes, "checkpoints")
        write_json(self.folder / TRAINING, self._training)
        self._clear_stale()

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove all but the newest two.

        Raises:
            UserError: the disk is full or cannot be written; older checkpoints are untouched.
        """
        path = self.folder / f"step-{checkpoint.step:08d}"
        with atomic_path(path, flush=False) as temporary:
            temporary.mkdir()
            np.savez(temporary / STATE, allow_pickle=False, **checkpoint.arrays)
            progress = {"history": checkpoint.history, "run_id": checkpoint.run_id}
            write_json(temporary / PROGRESS, {"step": checkpoint.step, **progress})
            digests = {name: sha256(temporary / name) for name in (STATE, PROGRESS)}
            write_json(temporary / MANIFEST, digests)
            fsync(temporary / STATE)
            fsync(temporary)
        fsync(self.folder)
        for old in self._paths()[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self) -> Checkpoint | None:
        """Read the newest whole checkpoint, or None; warn of damaged ones and remove them."""
        paths = self._paths()
        for path in paths:
            try:
                return _read(path)
            except (OSError, ValueError, LookupError) as error:
                reason = str(error).splitlines()[0]
                print(f"warning: the checkpoint {path} is damaged: {reason}", file=sys.stderr)
                shutil.rmtree(path, ignore_errors=True)
        if paths:
            print("warning: no checkpoint is whole, the training starts over", file=sys.stderr)
        return None

    def remove(self) -> None:
        """Remove the folder of a finished training."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"), reverse=True)

    def _clear_stale(self) -> None:
        """Remove other trainings' folders untouched for two weeks; list those that are left."""
        trainings = [path.parent for path in self.folder.parent.glob(f"*/{TRAINING}")]
        others = [path for path in trainings if path != self.folder]
        for path in [path for path in others if _age_days(path) > STALE_DAYS]:
            shutil.rmtree(path, ignore_errors=True)
            others.remove(path)
        if others:
            print(
                f"note: {self.folder.parent} also holds {len(others)} unfinished training(s) with "
                f"other parameters, data or code: {', '.join(sorted(p.name for p in others))}; "
                f"each is removed {STALE_DAYS} days after its last checkpoint"
            )


def _read(path: Path) -> Checkpoint:
    """Verify and read a checkpoint.

    Raises:
        OSError, ValueError, LookupError: a file is missing, or not as it was written.
    """
    manifest = read_json(path / MANIFEST)
    for name in (STATE, PROGRESS):
        if sha256(path / name) != manifest[name]:
            raise ValueError(f"the SHA-256 of {name} is not that of {MANIFEST}")
    with np.load(path / STATE, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return Checkpoint(arrays=arrays, **read_json(path / PROGRESS))


def _age_days(path: Path) -> float:
    try:
        return (time.time() - path.stat().st_mtime) / 86_400
    except FileNotFoundError:  # its training has just removed it
        return 0.0
