"""Provenance of a trained model: the content of provenance.json, and the key of its checkpoints."""

import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import yaml

from hpa.config.params import Params
from hpa.labels import CHANNELS, LABELS
from hpa.model.pretrained import pretrained_sha256
from hpa.system.files import SOURCE_DIR, code_sha256, sha256

PACKAGES = ("keras", "numpy", "scikit-learn", "tensorflow")


def model_provenance(
    params: Params, *, run_id: str, weights_sha256: str, inputs: list[Path], lineage: dict[str, str]
) -> dict[str, Any]:
    """Return the content of `model/provenance.json`.

    The SHA-256 of `inputs` identify the data, and `lineage` (see `hpa.tracking.lineage`) the code.
    """
    return {
        "run_id": run_id,
        "weights_sha256": weights_sha256,
        "params": params.flat(),
        "data": {str(path): sha256(path) for path in inputs},
        "lineage": lineage,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in dict.fromkeys([*PACKAGES, keras.backend.backend()])},
        },
        "channels": list(CHANNELS),
        "labels": list(LABELS),
    }


def checkpoint_key(params: Params, inputs: list[Path]) -> dict[str, Any]:
    """Return all that decides the numbers of a training: the key of its checkpoints."""
    sections = asdict(params)
    chosen = {name: sections[name] for name in ("model", "loss", "augment", "train")}
    del chosen["train"]["checkpoint_every"]
    backend = keras.backend.backend()
    return {
        "params": chosen,
        "data": {path.name: sha256(path) for path in inputs if path.is_file()},  # or `fit` refuses
        "pretrained": pretrained_sha256(params.model.weights),
        "code.sha256": code_sha256(training_code()),
        "backend": backend,
        "versions": {name: version(name) for name in ("keras", backend, "numpy")},
    }


def training_code() -> list[Path]:
    """Return the files and rooms that decide a training's numbers: the code deps of stage train.

    An edit elsewhere, of a report or a tracking message, say, keeps the checkpoints valid.
    """
    root = SOURCE_DIR.parent
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    deps = [str(dep) for dep in stages["train"]["deps"]]
    return [root / dep for dep in deps if dep.startswith("src/hpa/")]
