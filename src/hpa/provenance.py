"""Where a result comes from: commit, code, data, parameters, versions."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from hpa.config import Params
from hpa.files import sha256
from hpa.labels import CHANNELS, LABELS

SOURCE_DIR = Path(__file__).parents[1]
DATA_OUTS = ("data/raw", "data/packed", "data/split")
PACKAGES = ("keras", "numpy", "scikit-learn", "tensorflow")


def repository_root() -> Path:
    """Return the repository's top folder; the real one too where DVC runs in a temporary copy."""
    return Path(os.environ.get("DVC_ROOT") or SOURCE_DIR.parent)


def lineage() -> dict[str, str]:
    """Return what identifies code and data of a run, each value a short text, ready for tags.

    `git.commit` and `git.dirty` (`unknown` outside a repository), `code.sha256` over src/,
    `dvc.data/raw`, `dvc.data/packed`, `dvc.data/split` as in dvc.lock, and `dvc.experiment`.
    """
    commit = _git("rev-parse", "HEAD")
    dirty = _git("status", "--porcelain", "--untracked-files=no")
    found = {
        "git.commit": commit or "unknown",
        "git.dirty": "unknown" if commit is None else str(bool(dirty)).lower(),
        "code.sha256": code_sha256(),
    }
    found |= {f"dvc.{path}": digest for path, digest in _locked_data(Path("dvc.lock")).items()}
    if experiment := os.environ.get("DVC_EXP_NAME"):
        found["dvc.experiment"] = experiment
    return found


def model_provenance(
    params: Params, *, run_id: str, weights_sha256: str, inputs: list[Path]
) -> dict[str, Any]:
    """Return the content of `model/provenance.json`.

    Args:
        params: all parameters in force.
        run_id: of MLflow.
        weights_sha256: of the best weights' arrays.
        inputs: the files that describe the data trained on; their SHA-256 identify it.
    """
    return {
        "run_id": run_id,
        "weights_sha256": weights_sha256,
        "params": params.flat(),
        "data": {str(path): sha256(path) for path in inputs},
        "lineage": lineage(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "channels": list(CHANNELS),
        "labels": list(LABELS),
    }


def code_sha256() -> str:
    """Digest the Python files below src/, names and bytes, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE_DIR.rglob("*.py")):
        digest.update(f"{path.relative_to(SOURCE_DIR)}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


def _git(*arguments: str) -> str | None:
    """Ask git about the code's repository; None where there is none."""
    command = ["git", "-C", str(SOURCE_DIR), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def _locked_data(path: Path) -> dict[str, str]:
    """Read the digests of the data stages' outputs from a dvc.lock."""
    if not path.is_file():
        return {}
    stages = yaml.safe_load(path.read_text(encoding="utf-8")).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if out["path"] in DATA_OUTS}
