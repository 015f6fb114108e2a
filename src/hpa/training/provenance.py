"""Provenance of a trained model: the content of provenance.json, and the key of its checkpoints."""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from hpa.config.inherited import DATA_SECTIONS
from hpa.config.params import Params
from hpa.data.packed.pixel_sizes import PixelSizes
from hpa.model.archive_origin import embed_provenance
from hpa.model.pretrained import pretrained_sha256
from hpa.system.files import code_sha256, sha256, write_json
from hpa.training.code import stage_code
from hpa.training.start import start_of, start_tags, started_from
from hpa.vocabulary.document import Vocabulary

SECTIONS = ("model", "loss", "augment", "train")
ARCHIVES = ("best.keras", "last.keras")
MAX_ROUNDS = 500  # in a provenance: more would not be told apart in a figure
PACKAGES = ("keras", "numpy", "scikit-learn", "tensorflow")


def model_provenance(
    params: Params,
    *,
    run_id: str,
    weights_sha256: str,
    inputs: list[Path],
    vocabulary: Vocabulary,
    lineage: dict[str, str],
    made_with: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of `model/provenance.json`.

    The SHA-256 of `inputs` identify the data, and `lineage` (see `hpa.tracking.lineage`) the code.
    `made_with` are the parameters that made the data, as it says itself: prediction reads images by
    them.
    """
    origin = started_from(params, vocabulary)
    return {
        "run_id": run_id,
        "weights_sha256": weights_sha256,
        "params": _deciding_params(params, made_with),
        "pretrained_sha256": None if origin else pretrained_sha256(params.model.weights),
        **({"started_from": origin} if origin else {}),
        "data": {str(path): sha256(path) for path in inputs if path.is_file()},
        "lineage": {**lineage, **start_tags(origin)},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in dict.fromkeys([*PACKAGES, keras.backend.backend()])},
        },
        "vocabulary": vocabulary.to_json(),
    }


def image_tags(made_with: Mapping[str, Any], sizes: PixelSizes | None) -> dict[str, str]:
    """Return the tags of a run that say what its images held; none of simulated ones.

    >>> image_tags({"found.types": ["uint16", "uint8"]}, None)
    {'data.types': 'uint16, uint8'}
    """
    types = ", ".join(made_with.get("found.types", ()))
    texts = {"data.types": types, "data.pixel_size": sizes.in_words if sizes else ""}
    return {key: text for key, text in texts.items() if text}


def _deciding_params(params: Params, made_with: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decided the network; of a section that the data records, only what it says."""
    recorded = {key.partition(".")[0] for key in made_with}
    flat = {
        key: value
        for key, value in params.flat().items()
        if key.partition(".")[0] in (*DATA_SECTIONS, *SECTIONS)
        and key.partition(".")[0] not in recorded
    }
    return {**made_with, **flat}


def write_provenance(model_dir: Path, provenance: dict[str, Any]) -> None:
    """Write provenance into each archive, and into provenance.json, with the archives' digests.

    The date and the rounds of history.csv are added, so that the stages after it have them.
    """
    trained_at = datetime.now(UTC).isoformat(timespec="minutes")
    history = _rounds(model_dir / "history.csv")
    provenance = {**provenance, "trained_at": trained_at, "history": history}
    for name in ARCHIVES:
        embed_provenance(model_dir / name, provenance)
    archives = {name: sha256(model_dir / name) for name in ARCHIVES}
    write_json(model_dir / "provenance.json", {**provenance, "archives": archives})


def _rounds(path: Path) -> dict[str, list[float | None]]:
    """Return the columns of a history, of at most MAX_ROUNDS rounds at equal distances."""
    table = pd.read_csv(path)
    kept = np.linspace(0, len(table) - 1, min(len(table), MAX_ROUNDS)).round().astype(int)
    table = table.iloc[kept].astype(object)
    known = table.where(table.notna(), None)
    return {str(name): list(known[name]) for name in known}


def checkpoint_key(params: Params, inputs: list[Path]) -> dict[str, Any]:
    """Return all that decides the numbers of a training: the key of its checkpoints."""
    sections = asdict(params)
    chosen = {name: sections[name] for name in SECTIONS}
    del chosen["train"]["checkpoint_every"]
    backend, start = keras.backend.backend(), start_of(params.model.weights)
    return {
        "params": chosen,
        "data": {path.name: sha256(path) for path in inputs if path.is_file()},  # or `fit` refuses
        "pretrained": start.sha256 if start else pretrained_sha256(params.model.weights),
        "code.sha256": code_sha256(training_code()),
        "backend": backend,
        "versions": {name: version(name) for name in ("keras", backend, "numpy")},
    }


def training_code() -> list[Path]:
    """Return the files and rooms that decide a training's numbers: the code deps of stage train.

    An edit elsewhere, of a report or a tracking message, say, keeps the checkpoints valid.
    """
    return stage_code("train")
