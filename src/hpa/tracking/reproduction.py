"""Reproduction: repeat a run from its commit, patch, parameters and data, and compare results."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from hpa.errors import UserError
from hpa.system.files import SOURCE_DIR, code_sha256, read_json, repository_root, sha256
from hpa.tracking.address import sqlite_uri
from hpa.tracking.lineage import NO_COMMIT, History
from hpa.tracking.logged_models import download
from hpa.tracking.mlflow_store import PastRun, past_run
from hpa.tracking.starting_files import fetch_start

STAGES = ("train", "score", "threshold", "explain", "evaluate")
DATA_STAGES = ("pack", "split")
SEARCH_STAGES = ("search", "trial")
START = "pretrained/started_from"
"""Folder of a clone that holds the model from which the run started."""
REMAINS = (
    "what remains of it: parameters, digests of the data and packages, among its artifacts "
    "(mlflow artifacts download --run-id {0})"
)
NOT_RESULTS = ("system/", "train/images_per_s")  # measures of speed


@dataclass(frozen=True)
class Verdict:
    """Comparison of a run with its repetition."""

    weights_equal: bool | None  # None if the run has no finished training
    metrics: dict[str, tuple[float, float | None]]  # those that differ: then, and now if logged
    n_metrics: int

    @property
    def equal(self) -> bool:
        """True if nothing differs."""
        return self.weights_equal is not False and not self.metrics


def prepare_clone(run: PastRun, clone: Path) -> None:
    """Clone this repository with the run's code, parameters and data.

    If the run has no commit, or this folder does not hold it, the present code is copied, provided
    that its digest is the run's.

    Raises:
        UserError: the run belongs to a search, or its code or data is missing.
    """
    _refuse_search(run)
    root, kept = repository_root(), clone.with_name(f"{clone.name}-kept")
    kept.mkdir()
    if (missing := _check_out_commit(run, root, clone)) is None:
        _apply_patch(run, clone, kept)
    elif run.tags.get("code.sha256") == code_sha256([SOURCE_DIR]):
        reason = str(missing).splitlines()[0]
        print(f"  note: {reason}; the present code has the run's digest and is copied")
        _copy_code(root, clone)
    else:
        raise missing
    for name in ("params.yaml", "dvc.lock"):
        if (path := download(run.run_id, name, kept)) is None:
            raise UserError(
                f"the run has no artifact {name}",
                expected="the parameters and the digests of the data among its artifacts",
                received=f"run {run.run_id} without {name}",
                remedy="start a run on data tracked by DVC: dvc repro; this one cannot be repeated",
            )
        shutil.copy(path, clone / name)
    _bring_start(run, clone)
    _check_out_data(run, clone, root)


def repeat(run: PastRun, clone: Path) -> PastRun:
    """Run the stages that the run finished, in the clone, with a tracking store of its own."""
    finished = [stage for stage in STAGES if f"stage.{stage}" in run.tags]
    if not finished:
        raise UserError(
            "the run has finished no stage",
            expected=f"one of {', '.join(STAGES)}",
            received=f"run {run.run_id} without one",
            remedy="name a run whose status is FINISHED",
        )
    ambient = {key: value for key, value in os.environ.items() if not key.startswith("DVC_EXP")}
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):  # of another store
        ambient.pop(name, None)
    store = sqlite_uri(clone / "mlflow.db")
    ambient |= {"DVC_ROOT": str(clone), "MLFLOW_TRACKING_URI": store}
    if backend := run.tags.get("keras.backend"):
        ambient["KERAS_BACKEND"] = backend
    for stage in STAGES[: STAGES.index(finished[-1]) + 1]:
        script = clone / "src" / f"{stage}.py"
        if not script.is_file():  # a commit from before the stage
            continue
        print(f"  {stage}", flush=True)
        command = [sys.executable, str(script)]
        code = subprocess.run(command, cwd=clone, env=ambient).returncode
        if code:
            raise UserError(
                f"stage {stage} failed in the repeated run",
                expected="exit code 0, as in the run itself",
                received=f"exit code {code}",
                remedy="see its message above; packages other than the run's lock are one cause",
            )
    return _repeated(clone, store)


def compare(run: PastRun, again: PastRun, clone: Path) -> Verdict:
    """Compare the best weights by hash, and every metric except those of speed bit by bit."""
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
    """Return the digest of the weights of a run, or of the run upstream; None without weights."""
    path = download(run.run_id, "model/provenance.json", folder)
    if path is not None:
        return read_json(path)["weights_sha256"]
    upstream = run.tags.get("upstream_run_id")
    return weights_sha256(past_run(upstream), folder) if upstream else None


def environment_differs(run: PastRun, clone: Path) -> bool:
    """Tell whether the run used another requirements.lock than this repository's."""
    here = repository_root() / "requirements.lock"
    lock = run.tags.get("environment.sha256") or sha256(clone / "requirements.lock")
    return not here.is_file() or sha256(here) != lock


def _refuse_search(run: PastRun) -> None:
    """Refuse the runs of a study: what a trial draws depends on the trials before it.

    The run of k folds is refused as well: its trainings are runs of their own.
    """
    if "started.folds" in run.tags:
        raise UserError(
            "the run of an ensemble is repeated fold by fold",
            expected="the run of a fold, nested in it",
            received=f"run {run.run_id} of python src/folds.py",
            remedy="repeat the runs of its folds: make ui lists them; or all of it, at its commit: "
            "python src/folds.py --output FOLDER",
        )
    begun = [stage for stage in SEARCH_STAGES if f"started.{stage}" in run.tags]
    if begun:
        raise UserError(
            "a run of a search cannot be repeated on its own",
            expected="a run of dvc repro, dvc exp run or mlflow run",
            received=f"run {run.run_id}, a {begun[0]}",
            remedy="start a run that can be repeated: dvc exp run -S KEY=VALUE … with all that the "
            "trial's description lists, or the command in search/best.yaml among the artifacts",
        )


def _check_out_commit(run: PastRun, root: Path, clone: Path) -> UserError | None:
    """Clone the repository at the run's commit; return what is missing, if anything is."""
    commit, history = run.tags.get("git.commit", "unknown"), History.read()
    code = run.tags.get("code.sha256", "unknown")
    expected = f"commit {commit}, or src/ with the SHA-256 {code}"
    received = f"src/ with the SHA-256 {code_sha256([SOURCE_DIR])}"
    restore = f"restore src/ as it was; {REMAINS.format(run.run_id)}"
    if commit == "unknown" or commit.startswith(NO_COMMIT):
        return UserError(
            "the run was made without a Git commit",
            expected=f"src/ with the SHA-256 {code}, which was recorded instead",
            received=received,
            remedy=restore,
        )
    if history.commit is None:
        return UserError(
            f"{history.problem}, so the run's commit cannot be checked out",
            expected=expected,
            received=received,
            remedy=f"{history.remedy}; or {restore}",
        )
    _git(root, "clone", "--quiet", "--shared", "--no-checkout", str(root), str(clone))
    if _git(clone, "checkout", "--quiet", "--detach", commit):
        shutil.rmtree(clone, ignore_errors=True)
        return UserError(
            "the run's commit is not in this repository",
            expected=expected,
            received=f"no such commit in {root}, and {received}",
            remedy=f"git fetch it from where the run was started; or {restore}",
        )
    return None


def _copy_code(root: Path, clone: Path) -> None:
    """Copy what the stages need of the present code, for DVC without Git."""
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCE_DIR, clone / "src", ignore=skipped)
    (clone / ".dvc").mkdir()
    for name in ("dvc.yaml", "requirements.lock", "pyproject.toml"):
        if (root / name).is_file():
            shutil.copy(root / name, clone / name)
    config = root / ".dvc" / "config"
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    text = text if "[core]" in text else f"[core]\n{text}"
    text = text.replace("[core]", "[core]\n    no_scm = true", 1)
    (clone / ".dvc" / "config").write_text(text, encoding="utf-8")


def _apply_patch(run: PastRun, clone: Path, kept: Path) -> None:
    """Apply the changes that were not committed."""
    diff = download(run.run_id, "code.diff", kept)
    dirty = run.tags.get("git.dirty")
    if diff is None and dirty == "false":
        return
    if diff is None or _git(clone, "apply", "--whitespace=nowarn", str(diff)):
        raise UserError(
            "the run's code is unknown",
            expected="a clean commit, or the patch to it as code.diff among the artifacts",
            received=f"git.dirty {dirty!r}, code.diff {'absent' if diff is None else 'damaged'}",
            remedy="this run cannot be repeated; commit before the next one",
        )


def _bring_start(run: PastRun, clone: Path) -> None:
    """Copy the model that a training started from, if any, and let the clone start from it.

    The clone has a store of its own, so `runs:/` and `models:/` would find nothing there.
    """
    while "started_from" not in run.tags:
        if not (upstream := run.tags.get("upstream_run_id")):
            return
        run = past_run(upstream)
    archive = fetch_start(run.tags, clone / START)
    path = clone / "params.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["model"]["weights"] = str(archive.relative_to(clone))
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _check_out_data(run: PastRun, clone: Path, root: Path) -> None:
    """Check out the data from this repository's cache, or pull it from the remote."""
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
        "the run's data is missing",
        expected=f"in DVC's cache or remote: {', '.join(wanted)}",
        received=(done.stderr.strip().splitlines() or ["no data"])[-1],
        remedy="dvc push it from the repository of the run, or name the remote that has it",
    )


def _repeated(clone: Path, store: str) -> PastRun:
    """Read the repeated run from its own store; MLflow keeps the URI in the environment."""
    usual = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = store
    try:
        return past_run(read_json(clone / "model" / "provenance.json")["run_id"])
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI")
        if usual is not None:
            os.environ["MLFLOW_TRACKING_URI"] = usual


def _git(folder: Path, *arguments: str) -> int:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True).returncode


def _dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
