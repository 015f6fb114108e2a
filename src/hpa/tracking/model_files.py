"""The files of an MLflow model around a model folder, and the model of an evaluated run.

They name the code that serves it, `hpa.serving`, without importing it: no edit there changes what a
stage writes.
"""

import base64
import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types.schema import AnyType, Array, ColSpec, DataType, Map, Schema

from hpa.config.folders import MODEL_DIR, REPORTS_DIR
from hpa.config.sections import Serve
from hpa.data.packed.vocabulary import vocabulary_of
from hpa.system.files import read_json
from hpa.tracking.logged_models import WEIGHTS
from hpa.tracking.stage_run import finish_model, log_model_files, log_weights
from hpa.vocabulary.channels import IMAGE_FILE, Channels

PACKAGE_DIR = Path(__file__).parents[1]
MODEL, CONFIG = "model", "serve"
"""Names of the artifact that holds the model folder, and of its limits in the configuration."""
REQUIRED = (
    "fastapi", "filelock", "imagecodecs", "keras", "kornia-rs", "mlflow", "numpy",
    "opencv-python-headless", "pandas", "pillow", "pydantic", "pyyaml", "scipy", "starlette",
    "tensorflow", "tifffile", "tqdm", "uvicorn", "zarr",
)  # fmt: skip
"""Packages that the served model imports; the optional ones of microscopes' files are not."""
OUTPUTS = Schema(
    [
        ColSpec(Array(DataType.string), "labels"),
        ColSpec(Array(DataType.string), "flags"),
        ColSpec(Map(DataType.double), "probabilities"),
        ColSpec(Map(DataType.double), "thresholds"),
        ColSpec(Map(DataType.string), "label_flags"),
    ]
)
"""Columns of the answers, the same for all labels: maps are by label name."""
BESIDE_WEIGHTS = ("provenance.json", "training_range.json")
OF_EVALUATION = (
    MODEL_DIR / "thresholds.json", MODEL_DIR / "class_flags.json",
    *(REPORTS_DIR / name for name in (
        "test_predictions.npz", "holdout_predictions.npz", "images.csv", "metrics.json",
        "model_card.html", "model_card.md",
    )),
)  # fmt: skip
"""Files of the threshold and evaluate stages that the model of a run has beside its weights."""


def log_model(networks: Sequence[Mapping[str, str]], serve: Serve) -> None:
    """Log what a stage has evaluated as the model of its run, ready to be served.

    Nothing is logged of networks that are in no model folder, or whose weights are not at hand.
    """
    if (home := _model_folder(networks)) is None:
        return
    with TemporaryDirectory(prefix="hpa-model-") as name:
        folder, files = Path(name) / "mlflow", Path(name) / MODEL
        files.mkdir()
        for path in (*(home / name for name in BESIDE_WEIGHTS), *OF_EVALUATION):
            shutil.copy(path, files)
        save_model(folder, files, serve)
        log_model_files(sorted(folder.iterdir()))
    for network in networks:
        weights = Path(network["path"])
        log_weights(weights, str(weights.parent.relative_to(home)).strip("."))
    finish_model((REPORTS_DIR / "model_card.md").read_text(encoding="utf-8"))


def _model_folder(networks: Sequence[Mapping[str, str]]) -> Path | None:
    """Return the folder that holds exactly these networks, with their provenance; None without."""
    best, paths = Path(WEIGHTS).name, {Path(each.get("path") or "-") for each in networks}
    folders = {path.parent if len(networks) == 1 else path.parent.parent for path in paths}
    present = [path.name == best and path.is_file() for path in paths]
    if len(folders) != 1 or not all(present):
        return None
    (folder,) = folders
    if not all((folder / name).is_file() for name in BESIDE_WEIGHTS):
        return None
    listed = read_json(folder / "provenance.json").get("networks", [{"path": best}])
    return folder if {folder / each["path"] for each in listed} == paths else None


def save_model(path: Path, model_dir: Path, serve: Serve) -> None:
    """Write a model folder and its limits as an MLflow model with code and requirements.

    Its inputs are the channels that the provenance in the folder names, or a file of all of them.
    """
    channels = vocabulary_of(read_json(model_dir / "provenance.json")).channels
    names = (*channels.names, IMAGE_FILE)
    inputs = Schema([ColSpec(AnyType(), name, required=False) for name in names])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*An input example was not provided")
        mlflow.pyfunc.save_model(
            path=str(path),
            python_model=str(PACKAGE_DIR / "serving" / "model_from_code.py"),
            code_paths=[str(PACKAGE_DIR)],
            artifacts={MODEL: str(model_dir)},
            model_config={CONFIG: asdict(serve)},
            signature=ModelSignature(inputs=inputs, outputs=OUTPUTS),
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIRED],
        )
    _add_example(path, channels)


def _add_example(path: Path, channels: Channels) -> None:
    """Write the input example without MLflow, which would start a server to run it."""
    example = request([dict.fromkeys(channels.names, _disc())])
    row = example["dataframe_records"][0]
    table = {"columns": list(row), "data": [list(row.values())]}
    (path / "input_example.json").write_text(json.dumps(table))
    (path / "serving_input_example.json").write_text(json.dumps(example))
    description = mlflow.models.Model.load(str(path))
    description.saved_input_example_info = {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
        "type": "dataframe",
        "pandas_orient": "split",
    }
    description.save(str(path / "MLmodel"))


def request(images: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Encode images as the body of a request to /invocations.

    Args:
        images: by channel, the bytes of an image file or an array [H,W].
    """
    return {"dataframe_records": [{k: _encode(v) for k, v in image.items()} for image in images]}


def _encode(value: Any) -> Any:
    return (
        base64.b64encode(value).decode() if isinstance(value, bytes) else np.asarray(value).tolist()
    )


def _disc() -> bytes:
    """Draw a disc as a PNG."""
    plane = np.zeros((64, 64), np.uint8)
    cv2.circle(plane, (32, 32), 20, 180, -1)
    return cv2.imencode(".png", plane)[1].tobytes()
