"""Lineage of a run: commit, code, data, parameters, environment."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hpa.config.params import Params
from hpa.data.packed.assignment import HOLDOUT, NO_FOLD, SPLITS, read_assignment
from hpa.errors import UserError
from hpa.system.backends import chosen_backend
from hpa.system.files import SOURCE_DIR, code_sha256, digest, sha256

DATA_OUTS = ("data/raw", "data/packed", "data/split")
KEPT = ("params.yaml", "dvc.lock", "reports/metrics.json")
CONTEXTS = {"val": "validation"}
"""MLflow's word for a split, if it is not ours."""
NO_COMMIT = "sha256:"
"""Begins the tag `git.commit` of a run without a commit; the digest of its code follows."""
COMMIT = "git add --all && git commit -m 'The code of my runs'"
NEW_HISTORY = f"git clone the project instead of unpacking it, or git init && {COMMIT}"
ENVIRONMENT_LOCK = SOURCE_DIR.parent / "requirements.lock"


def lineage() -> dict[str, str]:
    """Return what identifies code and data of a run, as tags.

    `git.commit` and `git.dirty` (dirty if `code_diff` is not empty; without Git `sha256:` with
    the digest of the code, and `unknown`), `code.sha256` of src/, `environment.sha256` of
    requirements.lock, `keras.backend`, `dvc.data/raw`, `dvc.data/packed` and `dvc.data/split` from
    dvc.lock; in a DVC experiment also `dvc.experiment` and `dvc.baseline`, the commit that it
    started from.
    """
    history, code = History.read(), code_sha256([SOURCE_DIR])
    found = {
        "git.commit": history.commit or f"{NO_COMMIT}{code}",
        "git.dirty": str(bool(code_diff())).lower() if history.commit else "unknown",
        "code.sha256": code,
        "keras.backend": chosen_backend()[0],
    }
    if ENVIRONMENT_LOCK.is_file():
        found["environment.sha256"] = sha256(ENVIRONMENT_LOCK)
    found |= {f"dvc.{out['path']}": out["md5"] for out in _locked_data(Path("dvc.lock"))}
    for tag, name in (("experiment", "DVC_EXP_NAME"), ("baseline", "DVC_EXP_BASELINE_REV")):
        if value := os.environ.get(name):
            found[f"dvc.{tag}"] = value
    return found


@dataclass(frozen=True)
class History:
    """The code's commit, or why there is none and what to do about it.

    A repository of a folder above counts only if it tracks the code.
    """

    commit: str | None
    problem: str = ""
    remedy: str = ""

    @classmethod
    def read(cls) -> "History":
        """Ask git."""
        folder = SOURCE_DIR.parent
        try:
            done = _run_git("rev-parse", "HEAD")
        except OSError:
            return cls(None, "git is not installed", "install git; DVC needs it, too")
        if done.returncode == 0:
            if _run_git("ls-files", "--", "src").stdout:
                return cls(done.stdout.decode().strip())
            top = _run_git("rev-parse", "--show-toplevel").stdout.decode().strip()
            return cls(None, f"the repository {top} does not track {folder}", NEW_HISTORY)
        said = done.stderr.decode(errors="replace")
        if found := re.search(r"git config --global --add safe\.directory .+", said):
            return cls(None, f"{folder} belongs to another user, so git does not read it", found[0])
        if "HEAD" in said:
            return cls(None, f"{folder} has no commit yet", COMMIT)
        return cls(None, f"{folder} is not a Git repository", NEW_HISTORY)

    def warning(self) -> str:
        """Return a text for the terminal, if there is no commit."""
        return (
            f"warning: this run has no Git commit: {self.problem}\n"
            "  its code is recorded by its SHA-256, so it can be repeated only while src/ stays as "
            f"it is\n  what to do: {self.remedy}"
        )


def code_diff() -> bytes:
    """Return the patch from the commit to the code that runs; empty if they are equal.

    It is empty without a commit. It covers new files below src/, and all tracked files except
    `params.yaml`, `dvc.lock` and `reports/metrics.json`, which a run keeps as artifacts.
    """
    if History.read().commit is None:
        return b""
    changed = _git("diff", "--binary", "HEAD", "--", ".", *(f":!{name}" for name in KEPT)) or b""
    new = _git("ls-files", "--others", "--exclude-standard", "-z", "--", "src") or b""
    patches = [
        _git("diff", "--binary", "--no-index", "--", "/dev/null", os.fsdecode(name), differs=1)
        or b""
        for name in filter(None, new.split(b"\0"))
    ]
    return changed + b"".join(patches)


def differences(params: Params) -> dict[str, Any]:
    """Return the parameters, by dotted key, that differ from the commit's params.yaml.

    In a DVC experiment the commit is the one that it started from. Without Git, the project's
    params.yaml counts instead.
    """
    if History.read().commit:
        known = committed_params(os.environ.get("DVC_EXP_BASELINE_REV") or "HEAD")
    else:
        path = SOURCE_DIR.parent / "params.yaml"
        known = _by_dotted_key(path.read_bytes() if path.is_file() else b"")
    return {
        key: value for key, value in params.flat().items() if key in known and known[key] != value
    }


def committed_params(revision: str) -> dict[str, Any]:
    """Return params.yaml of a revision by dotted key; empty if either is absent or broken."""
    name = f"{revision}:./params.yaml"  # without a revision that of the index
    return _by_dotted_key((revision and _git("show", "--end-of-options", name)) or b"")


def _by_dotted_key(text: bytes) -> dict[str, Any]:
    try:
        return {
            f"{section}.{key}": value
            for section, values in (yaml.safe_load(text) or {}).items()
            for key, value in values.items()
        }
    except (AttributeError, yaml.YAMLError):
        return {}


def datasets(lock: Path) -> list[dict[str, str]]:
    """Return the data of a dvc.lock as fields of MLflow's datasets; [] without a lock.

    `digest` is DVC's, the folder's name in `dvc.lock` and in DVC's cache.
    """
    return [
        {
            "name": out["path"],
            "digest": out["md5"],
            "source_type": "local",
            "source": json.dumps({"uri": out["path"]}),
            "profile": json.dumps({"n_files": out.get("nfiles"), "n_bytes": out.get("size")}),
            "context": Path(out["path"]).name,
        }
        for out in _locked_data(lock)
    ]


def split_datasets(split_dir: Path, fold: int | None) -> list[dict[str, str]]:
    """Return the images of each split as fields of MLflow's datasets; [] without an assignment.

    `digest` is that of the image names, in any order: of two runs with the same one, the metrics of
    that split are of the same images. Without a fold, val holds the images of all folds.
    """
    try:
        assignment = read_assignment(split_dir, fold or 0)
        if fold is None:
            assignment.loc[assignment["fold"] != NO_FOLD, "split"] = "val"
        images = assignment.groupby("split")["Id"].apply(sorted)
        return [
            {
                "name": f"{split} images",
                "digest": digest(images[split])[:32],  # MLflow keeps 36 characters
                "source_type": "local",
                "source": json.dumps({"uri": f"{split_dir}/assignment.csv"}),
                "profile": json.dumps({"n_images": len(images[split])}),
                "context": CONTEXTS.get(split, split),
            }
            for split in (*reversed(SPLITS), HOLDOUT)  # MLflow's table of runs shows the first
            if split in images
        ]
    except (UserError, KeyError, ValueError):
        return []  # absent or damaged: the stage that reads it says so


def _git(*arguments: str, differs: int = 0) -> bytes | None:
    """Return git's output in the code's repository; None after an exit code but 0 or `differs`."""
    try:
        done = _run_git(*arguments)
    except OSError:
        return None
    return done.stdout if done.returncode in (0, differs) else None


def _run_git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command = ["git", "-C", str(SOURCE_DIR.parent), *arguments]
    return subprocess.run(command, capture_output=True, env={**os.environ, "LC_ALL": "C"})


def _locked_data(path: Path) -> list[dict[str, Any]]:
    """Read the outputs of the data stages, with `path` and `md5`, from a dvc.lock."""
    if not path.is_file():
        return []
    # The loader in C, where PyYAML has it: a lock is long, and each stage reads it twice.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    stages = yaml.load(path.read_text(encoding="utf-8"), Loader=loader).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return [out for out in outs if out["path"] in DATA_OUTS]
