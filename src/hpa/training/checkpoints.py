"""Checkpoints of a training: whole or absent, and verified before use.

    .checkpoints/<key>/training.json                     the content that the key digests, and
                                                         what it belongs to
    .checkpoints/<key>/step-000320/state.npz             every array of the training
                                  /progress.json         history, and the run that wrote it
                                  /manifest.json         SHA-256 of both
                        /lock, process.json              the process that trains at present

They are in the repository, outside the outputs that DVC removes before it runs a stage. The key
digests all that decides the numbers of a training, so no training resumes from another's state.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    repository_root,
    require_free_space,
    sha256,
    write_json,
)
from hpa.training.unfinished import LOCK, TRAINING, make_room, remove_stale

KEPT = 2  # the newest, and the one before in case the newest gets damaged
RESERVE = 2
"""Free disk before a checkpoint is written, in checkpoints: itself, and room for the model's files,
three times the weights of the four that a checkpoint holds with AdamW."""
LOCK_WAIT_S = 1.0  # a listing of the trainings holds each lock for a moment
STATE, PROGRESS, MANIFEST = "state.npz", "progress.json", "manifest.json"
OWNER = "process.json"


class TrainingHeldError(UserError):
    """Another process runs the same training."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """State of a training after a step, and the tracked run that wrote it."""

    step: int
    arrays: dict[str, np.ndarray]  # weights, optimizer and random states
    history: list[dict[str, float]]  # the metrics of each round so far
    run_id: str = ""


def checkpoints_root() -> Path:
    """Return the folder of all checkpoints: in the repository, outside the outputs."""
    return repository_root() / ".checkpoints"


class Checkpoints:
    """The folder of one training's checkpoints."""

    def __init__(self, root: Path, training: dict[str, Any], *, what: str = "train") -> None:
        """Name the folder in `root` by all that decides the numbers of a training.

        `what` says in `unfinished.listing` what the training belongs to.
        """
        self.folder, self._training = root / digest(training)[:16], {"what": what, **training}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder for this process; remove it if the block, a whole training, succeeds.

        Two trainings in one folder would overwrite each other's checkpoints, and the first to end
        would remove them. The lock ends with the process, also when it is killed.

        Raises:
            TrainingHeldError: another process holds the lock.
            UserError: the folder cannot be written.
        """
        lock = self._acquire()
        try:
            write_json(self.folder / TRAINING, self._training)
            write_json(self.folder / OWNER, processes.identity())
            yield
            self.remove()
        finally:
            if not self._paths():
                self.remove()
            lock.release()

    def prepare(self, n_bytes: int) -> None:
        """Check that checkpoints of this size can be written; remove abandoned ones as needed.

        Raises:
            UserError: the disk has no room for checkpoints, or the folder cannot be written.
        """
        write_json(self.folder / TRAINING, self._training)
        for leftover in self.folder.glob(".partial-*-step-*"):  # of a killed process
            shutil.rmtree(leftover, ignore_errors=True)
        root, n_present = self.folder.parent, min(len(self._paths()), KEPT)
        needed = (KEPT - n_present + RESERVE) * n_bytes
        remove_stale(root, self.folder)
        make_room(root, self.folder, needed)
        require_free_space(self.folder, needed, "checkpoints")

    def write(self, checkpoint: Checkpoint) -> bool:
        """Write a checkpoint, then remove all but the newest two; return whether it was written.

        If the disk is short of space, other abandoned trainings are removed first, then the older
        checkpoint of this one. If that is not enough, a warning says so, and the training can do
        without.

        Raises:
            UserError: it cannot be written; older checkpoints are untouched.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._has_room(sum(array.nbytes for array in checkpoint.arrays.values())):
            last = self._paths()[0].name if self._paths() else "none"
            print(
                f"warning: no room for the checkpoint of step {checkpoint.step} on the disk of "
                f"{self.folder}; the training continues, the last checkpoint is {last}",
                file=sys.stderr,
            )
            return False
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
        self._keep(KEPT)
        return True

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

    def _keep(self, n: int) -> None:
        for old in self._paths()[n:]:
            shutil.rmtree(old, ignore_errors=True)

    def _has_room(self, n_bytes: int) -> bool:
        """Make room for a checkpoint of this size; tell whether there is enough."""
        root, needed = self.folder.parent, RESERVE * n_bytes
        if make_room(root, self.folder, needed):
            return True
        self._keep(1)
        return make_room(root, self.folder, needed)

    def _acquire(self) -> FileLock:
        lock = FileLock(self.folder / LOCK)
        while True:
            write_json(self.folder / TRAINING, self._training)
            try:
                return self._locked(lock)
            except FileNotFoundError:  # another process has just removed the folder
                continue

    def _locked(self, lock: FileLock) -> FileLock:
        try:
            lock.acquire(timeout=LOCK_WAIT_S)
        except Timeout as error:
            pid = "that has just started"
            with suppress(UserError):
                pid = read_json(self.folder / OWNER).split()[1]
            raise TrainingHeldError(
                "this training is running in another process",
                expected=f"no process that holds {self.folder}",
                received=f"process {pid}, with the same parameters, data and code",
                remedy="wait for its end, or stop it with SIGTERM and resume it by the same "
                "command; a second training beside it needs another train.seed",
            ) from error
        return lock


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
