"""The MLflow pyfunc model that wraps a model folder for serving.

A row of the input is an image: columns red, green, blue, yellow, each the base64 text of a PNG,
TIFF or JPEG, or an array [H,W] of grey levels; an absent channel is null. A row of the output
holds `labels` (names), `flags` (quality flags of the image) and, by name, `probabilities`,
`thresholds` and `label_flags` (reasons to distrust a label in any image, "" without one).
"""

import base64
import binascii
import json
import logging
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import mlflow
import numpy as np
import pandas as pd
from fastapi import FastAPI
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types.schema import AnyType, Array, ColSpec, DataType, Map, Schema

from hpa.config.sections import Serve
from hpa.data.images.formats import InvalidImageError
from hpa.data.images.user_images import read_planes, to_pixels
from hpa.labels import CHANNELS
from hpa.serving.request_limits import RequestLimits
from hpa.system.backends import prepare_backend

PACKAGE_DIR = Path(__file__).parents[1]
MODEL = "model"
"""Name of the artifact that holds the model folder."""
CONFIG = "serve"
REQUIRED = (
    "fastapi", "filelock", "keras", "kornia-rs", "mlflow", "numpy", "opencv-python-headless",
    "pandas", "pillow", "pydantic", "pyyaml", "scipy", "starlette", "tensorflow", "tqdm", "uvicorn",
)  # fmt: skip
"""Packages that the served model imports."""
SERVER = "mlflow.pyfunc.scoring_server.app"
"""Module that MLflow has uvicorn import: it loads the model, then creates the ASGI app `app`."""
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(AnyType(), name, required=False) for name in CHANNELS]),
    outputs=Schema(
        [
            ColSpec(Array(DataType.string), "labels"),
            ColSpec(Array(DataType.string), "flags"),
            ColSpec(Map(DataType.double), "probabilities"),
            ColSpec(Map(DataType.double), "thresholds"),
            ColSpec(Map(DataType.string), "label_flags"),
        ]
    ),
)


def save_model(path: Path, model_dir: Path, serve: Serve) -> None:
    """Write a model folder and its limits as an MLflow model with code and requirements."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*An input example was not provided")
        mlflow.pyfunc.save_model(
            path=str(path),
            python_model=str(PACKAGE_DIR / "serving" / "model_from_code.py"),
            code_paths=[str(PACKAGE_DIR)],
            artifacts={MODEL: str(model_dir)},
            model_config={CONFIG: asdict(serve)},
            signature=SIGNATURE,
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIRED],
        )
    _add_example(path)


def _add_example(path: Path) -> None:
    """Write the input example without MLflow, which would start a server to run it."""
    example = request([_example()])
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


class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]
    """A model folder behind MLflow's interface."""

    def load_context(self, context: Any) -> None:
        """Load and verify the model folder; in MLflow's server, add request limits."""
        prepare_backend()
        from hpa.inference.classifier import Classifier

        self._serve = Serve(**context.model_config[CONFIG])
        if SERVER in sys.modules:
            limit_scoring_server(self._serve)
        self._classifier = Classifier(Path(context.artifacts[MODEL]))
        self._rules = self._classifier.rules(self._serve)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Predict each row.

        Raises:
            MlflowException: an image cannot be read or there are too many; HTTP status 400.
        """
        records = model_input.to_dict("records")
        if not 0 < len(records) <= self._serve.max_images:
            reason = f"{len(records)} images (from 1 to {self._serve.max_images} per request)"
            raise MlflowException.invalid_parameter_value(reason)
        pixels = np.stack([self._read(row, each) for row, each in enumerate(records)])
        names = [f"image {row}" for row in range(len(records))]
        predictions = self._classifier.predict(names, pixels, batch_size=self._serve.batch_size)
        return [_response(self._classifier.document(each)) for each in predictions]

    def _read(self, row: int, record: Mapping[Any, Any]) -> np.ndarray:
        try:
            given = {name: _decode(name, record.get(name)) for name in CHANNELS}
            return to_pixels(read_planes(given, self._rules), self._rules)
        except InvalidImageError as error:
            raise MlflowException.invalid_parameter_value(f"image {row}: {error}") from error


def _response(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document of `Classifier.document` by column, each a dict by label."""
    rows = document["classes"]
    return {
        "labels": document["labels"],
        "flags": document["flags"],
        "probabilities": {row["label"]: row["probability"] for row in rows},
        "thresholds": {row["label"]: row["threshold"] for row in rows},
        "label_flags": {row["label"]: "; ".join(row["flags"]) for row in rows},
    }


def limit_scoring_server(serve: Serve) -> None:
    """Add request limits to the app of MLflow's server, which has no setting for them.

    MLflow offers no hook between creating the app and serving it. So the middleware is added when
    uvicorn reads `app` from the module `SERVER`. Added last, it is outermost: the time limit of
    MLflow's own middleware would include the upload.
    """

    class LimitedServer(ModuleType):
        @property
        def app(self) -> FastAPI:
            return self.limited_app

        @cached_property
        def limited_app(self) -> FastAPI:
            app: FastAPI = self.__dict__["app"]
            max_bytes, content_types = serve.max_request_mb * 10**6, ("application/json",)
            app.add_middleware(RequestLimits, max_bytes=max_bytes, content_types=content_types)
            return app

    sys.modules[SERVER].__class__ = LimitedServer
    logging.getLogger("mlflow.pyfunc.scoring_server").setLevel(logging.ERROR)


def _encode(value: Any) -> Any:
    return (
        base64.b64encode(value).decode() if isinstance(value, bytes) else np.asarray(value).tolist()
    )


def _decode(channel: str, value: Any) -> Any:
    """Turn a cell into the bytes of an image file, numbers, or None."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, str):
        try:
            text = value.partition(",")[2] if value.startswith("data:") else value
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidImageError(f"{channel}: text that is not base64: {error}") from error
    if isinstance(value, bytes | list | np.ndarray):
        return value
    raise InvalidImageError(f"{channel}: {type(value).__name__}, neither base64 text nor an array")


def _example() -> dict[str, bytes]:
    """Draw a disc in every channel."""
    plane = np.zeros((64, 64), np.uint8)
    cv2.circle(plane, (32, 32), 20, 180, -1)
    content = cv2.imencode(".png", plane)[1].tobytes()
    return dict.fromkeys(CHANNELS, content)
