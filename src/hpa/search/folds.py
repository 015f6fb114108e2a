"""Train the folds of a split, one after the other or by several worker processes.

Each is a training like any other: `python src/train.py --fold K --output models/fold-K`.
"""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, cast

from hpa.config.params import Params, changed_params
from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.errors import UserError
from hpa.inference.ensemble import fold_dir, require_alike
from hpa.inference.models import BEST, find_models, require_same_data
from hpa.search.progress import in_words
from hpa.system.files import SOURCE_DIR
from hpa.system.workers import resource_shares, start_worker, stop_workers
from hpa.tracking.model_files import BESIDE_WEIGHTS
from hpa.training.start import start_of

MADE_BY = ("model", "loss", "augment", "train")
"""Sections of params.yaml that decide a network, beside those that the data says itself."""

POLL_S = 0.5
STEP = re.compile(r"(resuming from )?step (\d+)")


def require_split(split_dir: Path, n_folds: int) -> None:
    """Refuse images that are split into another number of folds."""
    assignment = read_assignment(split_dir)
    found = int(assignment["fold"].max()) + 1 if "fold" in assignment else 1
    if found != n_folds:
        raise UserError(
            f"{split_dir} has another number of folds than params.yaml",
            expected=f"split.n_folds: {n_folds}",
            received=f"{found} folds" if found > 1 else "one val split, no folds",
            remedy="split again: dvc repro split, or python src/split.py",
        )


def missing_folds(params: Params, folder: Path, packed_dir: Path, split_dir: Path) -> list[int]:
    """Return the folds without a finished training in `folder`.

    Raises:
        UserError: a finished one had other parameters, data, labels or channels, or the folder
            holds something else.
    """
    missing, vocabulary = [], read_vocabulary(packed_dir).to_json()
    paths = [fold_dir(folder, fold) / BEST for fold in range(params.split.n_folds)]
    if others := sorted({*folder.glob(f"[!.]*/{BEST}"), *folder.glob(BEST)} - set(paths)):
        raise UserError(
            f"{folder} holds networks that are not of these {len(paths)} folds",
            expected=f"a new folder, or one with {paths[0].parent.name} to {paths[-1].parent.name}",
            received=", ".join(map(str, others)),
            remedy="name another folder: --output FOLDER",
        )
    for fold, path in enumerate(paths):
        if not all(path.with_name(name).is_file() for name in (BEST, *BESIDE_WEIGHTS)):
            missing.append(fold)
            continue
        (model,) = find_models(path)
        require_same_data([model], packed_dir / "index.csv", split_dir / "assignment.csv")
        flat = changed_params(params, {"train.fold": fold}).flat()
        decided = {key: flat[key] for key in flat if key.partition(".")[0] in MADE_BY}
        wanted = {"params": decided, "vocabulary": vocabulary}
        if start := start_of(params.model.weights):
            wanted["started_from"] = {"sha256": start.sha256}
        like, may_differ = "as the parameters say now", ("train.checkpoint_every",)
        require_alike(wanted, model.origin, path=path, like=like, may_differ=may_differ)
    return missing


def train_folds(
    folds: list[int], params: Params, params_path: Path, folder: Path, run_id: str, n_workers: int
) -> None:
    """Train folds into `folder`, at most `n_workers` at once; they end with this process.

    Args:
        folds: those to train, counted from 0.
        params: of all of them; `params_path` is the file that holds them.
        folder: of the ensemble.
        run_id: the run that theirs are nested in.
        n_workers: one takes all cores, several share them.

    Raises:
        UserError: one failed; the others are stopped, and resume with the next call.
    """
    shares: list[dict[str, str]] = [{}]
    if n_workers > 1:
        shares = resource_shares(min(n_workers, len(folds)), params.train.n_devices)
    display = _Display(len(folds), params.split.n_folds, params.train.n_steps)
    waiting, running = list(folds), dict[int, _Training]()
    try:
        while waiting or running:
            while waiting and shares:
                fold = waiting.pop(0)
                options = ("--params", str(params_path), "--train.fold", str(fold))
                place = ("--output", str(fold_dir(folder, fold)), "--parent", run_id)
                running[fold] = _Training(fold, (*options, *place), shares.pop(), display)
            time.sleep(POLL_S)
            for fold in [fold for fold, each in running.items() if each.ended]:
                ended = running.pop(fold)
                shares.append(ended.share)
                ended.require_success()
                display.finished(fold)
    finally:
        stop_workers([each.process for each in running.values()])
        for each in running.values():
            each.reader.join()


class _Training:
    """Process that trains a fold; a thread shows what it prints."""

    def __init__(
        self, fold: int, options: tuple[str, ...], share: dict[str, str], display: "_Display"
    ) -> None:
        self.fold, self.share = fold, share
        command = [sys.executable, str(SOURCE_DIR / "train.py"), *options]
        self.process = start_worker(
            command, {**os.environ, **share}, Path.cwd(), output=subprocess.PIPE
        )
        self.reader = threading.Thread(target=self._show, args=(display,), daemon=True)
        self.reader.start()

    def _show(self, display: "_Display") -> None:
        with cast("IO[bytes]", self.process.stdout) as lines:
            for line in lines:
                display.show(self.fold, line.decode(errors="replace").rstrip())

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None and not self.reader.is_alive()

    def require_success(self) -> None:
        if code := self.process.returncode:
            raise UserError(
                f"fold {self.fold} could not be trained",
                expected="exit code 0 of its training",
                received=f"exit code {code}; see its message above",
                remedy="fix the cause, then run the same command again: finished folds are kept, "
                "and this one resumes from its checkpoint, if it has one",
            )


class _Display:
    """Lines of all trainings with their fold, and the time left for all of them."""

    def __init__(self, n_trained: int, n_folds: int, n_steps: int) -> None:
        self._n_trained, self._n_folds, self._n_steps = n_trained, n_folds, n_steps
        self._began, self._started = dict[int, int](), time.monotonic()
        self._reached: dict[int, int] = {}
        self._lock = threading.Lock()

    def show(self, fold: int, line: str) -> None:
        """Print a line of a training; note the step that it has reached, or resumes from."""
        with self._lock:
            left = ""
            if found := STEP.match(line):
                steps = self._began if found[1] else self._reached
                steps[fold] = int(found[2])
                left = "" if found[1] else f"  all folds: {self._time_left()}"
            print(f"fold {fold} of {self._n_folds}: {line}{left}", flush=True)

    def finished(self, fold: int) -> None:
        """Count a training as done, also one that stopped early."""
        with self._lock:
            self._reached[fold] = self._n_steps

    def _time_left(self) -> str:
        known = sum(self._reached.values())
        done = known - sum(self._began.get(fold, 0) for fold in self._reached)
        seconds = (time.monotonic() - self._started) / max(done, 1)
        return in_words(seconds * (self._n_trained * self._n_steps - known))
