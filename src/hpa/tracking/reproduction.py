"""A run made again from what it left: commit, change, parameters, data; and how equal it is."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hpa.errors import UserError
from hpa.system.files import read_json, repository_root, sha256
from hpa.tracking.mlflow_store import SQLITE, PastRun, download, past_run

STAGES = ("train", "score", "threshold", "explain", "evaluate")
DATA_STAGES = ("pack", "split")
SEARCH_STAGES = ("search", "trial")
NOT_RESULTS = ("system/", "train/images_per_s")  # how fast, not what


@dataclass(frozen=True)
class Verdict:
    """How a repeated run compares.

    Attributes:
        weights_equal: None where the run never ended a training.
        metrics: name to (then, now), those that differ; now is None where it was not logged.
        n_metrics: how many were compared.
    """

    weights_equal: bool | None
    metrics: dict[str, tuple[float, float | None]]
    n_metrics: int

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.weights_equal is not False and not self.metrics


def lay_out(run: PastRun, clone: Path) -> None:
    """Make a clone of this repository with the run's code, parameters and data.

    Args:
        run: to be repeated.
        clone: a folder that does not exist yet.

    Raises:
        UserError: a run of a search, or commit, change or data is gone.
    """
    _refuse_search(run)
    commit = run.tags.get("git.commit", "unknown")
    root = repository_root()
    _git(root, "clone", "--quiet", "--shared", "--no-checkout", str(root), str(clone))
    if _git(clone, "checkout", "--quiet", "--detach", commit):
        raise UserError(
            "the run's commit is not in this repository",
            expected=f"commit {commit}",
            received=f"no such commit in {root}",
            remedy="git fetch it from where the run was started",
        )
    kept = clone.with_name(f"{clone.name}-kept")
    _apply_change(run, clone, kept)
    for name in ("params.yaml", "dvc.lock"):
        if (path := download(run.run_id, name, kept)) is None:
            raise UserError(
                f"the run keeps no {name}",
                expected="parameters and digests of data among its artifacts",
                received=f"run {run.run_id} without {name}",
                remedy="only a run on data that DVC made can be repeated; start it by dvc repro",
            )
        shutil.copy(path, clone / name)
    _check_out_data(run, clone, root)


def repeat(run: PastRun, clone: Path) -> PastRun:
    """Run the stages again that the run finished, in the clone, with a store of its own."""
    finished = [stage for stage in STAGES if f"stage.{stage}" in run.tags]
    if not finished:
        raise UserError(
            "the run has finished no stage",
            expected=f"one of {', '.join(STAGES)}",
            received=f"run {run.run_id} without any",
            remedy="name a run whose status is FINISHED",
        )
    ambient = {key: value for key, value in os.environ.items() if not key.startswith("DVC_EXP")}
    ambient.pop("MLFLOW_RUN_ID", None)
    own_store = {"DVC_ROOT": str(clone), "MLFLOW_TRACKING_URI": _store_of(clone)}
    if backend := run.tags.get("keras.backend"):
        ambient["KERAS_BACKEND"] = backend
    for stage in STAGES[: STAGES.index(finished[-1]) + 1]:
        script = clone / "src" / f"{stage}.py"
        if not script.is_file():  # a commit from before the stage
            continue
        print(f"  {stage}", flush=True)
        command = [sys.executable, str(script)]
        code = subprocess.run(command, cwd=clone, env=ambient | own_store).returncode
        if code:
            raise UserError(
                f"stage {stage} failed in the repeated run",
                expected="exit code 0, as in the run itself",
                received=f"exit code {code}",
                remedy="see its message above; other packages than the run's lock are a reason",
            )
    return _repeated(clone)


def compare(run: PastRun, again: PastRun, clone: Path) -> Verdict:
    """Compare the hash of the best weights, and every metric but those of speed, bit by bit."""
    then = weights_sha256(run, clone.with_name(f"{clone.name}-kept"))
    now = read_json(clone / "model" / "provenance.json")["weights_sha256"]
    metrics = {
        name: value for name, value in run.metrics.items() if not name.startswith(NOT_RESULTS)
    }
    differing = {
        name: (value, again.metrics.get(name))
        for name, value in metrics.items()
        if repr(value) != repr(again.metrics.get(name))  # NaN is equal to itself
    }
    return Verdict(None if then is None else then == now, differing, len(metrics))


def weights_sha256(run: PastRun, folder: Path) -> str | None:
    """Return the digest of the weights that a run made, or built upon; None if it has none."""
    path = download(run.run_id, "model/provenance.json", folder)
    if path is not None:
        return read_json(path)["weights_sha256"]
    upstream = run.tags.get("upstream_run_id")
    return weights_sha256(past_run(upstream), folder) if upstream else None


def environment_differs(run: PastRun, clone: Path) -> bool:
    """Tell whether the run was made with another lock than this repository's packages."""
    here = repository_root() / "requirements.lock"
    lock = run.tags.get("environment.sha256") or sha256(clone / "requirements.lock")
    return not here.is_file() or sha256(here) != lock


def _refuse_search(run: PastRun) -> None:
    """Refuse what a study did: what a trial draws depends on the trials before it."""
    begun = [stage for stage in SEARCH_STAGES if f"started.{stage}" in run.tags]
    if begun:
        raise UserError(
            "a run of a search is not repeated by itself",
            expected="a run of dvc repro, dvc exp run or mlflow run",
            received=f"run {run.run_id}, a {begun[0]}",
            remedy="dvc exp run -S KEY=VALUE … with all that the trial's description says differs, "
            "or the command in search/best.yaml among the search's artifacts; that makes a run "
            "which can be repeated",
        )


def _apply_change(run: PastRun, clone: Path, kept: Path) -> None:
    """Put back what was not committed."""
    kept.mkdir()
    diff = download(run.run_id, "code.diff", kept)
    if diff is None and run.tags.get("git.dirty") != "false":
        raise UserError(
            "the run's code is not known",
            expected="a clean commit, or the change to it as code.diff among the artifacts",
            received=f"git.dirty is {run.tags.get('git.dirty')!r} and there is no code.diff",
            remedy="such a run cannot be repeated; commit before the next one",
        )
    if diff is not None and _git(clone, "apply", "--whitespace=nowarn", str(diff)):
        raise UserError(
            "the run's change does not fit its commit",
            expected="a patch that git apply takes",
            received=f"{diff.name} of run {run.run_id}",
            remedy="the artifact is damaged: the run cannot be repeated",
        )


def _check_out_data(run: PastRun, clone: Path, root: Path) -> None:
    """Take the data from this repository's cache, or from the remote."""
    local = root / ".dvc" / "config.local"
    if local.is_file():
        shutil.copy(local, clone / ".dvc" / "config.local")
    cache = _dvc(root, "cache", "dir").stdout.strip()
    _dvc(clone, "cache", "dir", "--local", str((root / cache).resolve()))
    for command in ("checkout", "pull"):
        done = _dvc(clone, command, *DATA_STAGES)
        if done.returncode == 0:
            return
    wanted = [f"{key.removeprefix('dvc.')} {run.tags[key]}" for key in run.tags if "data/" in key]
    raise UserError(
        "the run's data is gone",
        expected=f"in DVC's cache or remote: {', '.join(wanted)}",
        received=(done.stderr.strip().splitlines() or ["no data"])[-1],
        remedy="dvc push from where the run was made, or name the remote that has it",
    )


def _repeated(clone: Path) -> PastRun:
    """Read the run that the repetition left in its own store."""
    usual = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = _store_of(clone)
    try:
        return past_run(read_json(clone / "model" / "provenance.json")["run_id"])
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI")
        if usual is not None:
            os.environ["MLFLOW_TRACKING_URI"] = usual


def _store_of(clone: Path) -> str:
    return f"{SQLITE}{clone}/mlflow.db"


def _git(folder: Path, *arguments: str) -> int:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True).returncode


def _dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
