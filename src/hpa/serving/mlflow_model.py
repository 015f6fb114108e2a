"""The MLflow pyfunc model that wraps a model folder for serving.

A row of the input is an image: a column per channel of the model, each the base64 text of a file or
an array [H,W] of grey levels, an absent channel null; or the column `image_file`, the base64 text
of a file that holds the channels, such as an OME-TIFF. A row of the output holds `labels` (names),
`flags` (quality flags of the image) and, by name, `probabilities`, `thresholds` and `label_flags`
(reasons to distrust a label in any image, "" without one).
"""

import base64
import binascii
import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from fastapi import FastAPI
from mlflow.exceptions import MlflowException

from hpa.config.sections import Serve
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.reading import read_planes
from hpa.serving.request_limits import RequestLimits
from hpa.system.backends import prepare_backend
from hpa.vocabulary.channels import IMAGE_FILE, Channels

if TYPE_CHECKING:
    from hpa.inference.inputs import Input

MODEL, CONFIG = "model", "serve"
"""Names under which `hpa.tracking.model_files` saves the model folder and the limits."""
MAX_NAMED = 8
"""Unknown channels that an error names."""
SERVER = "mlflow.pyfunc.scoring_server.app"
"""Module that MLflow has uvicorn import: it loads the model, then creates the ASGI app `app`."""


class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]
    """A model folder behind MLflow's interface."""

    def load_context(self, context: Any) -> None:
        """Load and verify the model folder; in MLflow's server, add request limits."""
        prepare_backend()
        from hpa.inference.classifier import Classifier

        self._serve = limits(context.model_config[CONFIG])
        self._classifier = Classifier(Path(context.artifacts[MODEL]))
        self._rules = self._classifier.rules(self._serve)
        if SERVER in sys.modules:
            limit_scoring_server(self._serve, self._rules.channels)

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
        inputs = (self._read(row, each) for row, each in enumerate(records))
        predictions = self._classifier.predict(inputs, batch_size=self._serve.batch_size)
        return [_response(self._classifier.document(each)) for each in predictions]

    def _read(self, row: int, record: Mapping[Any, Any]) -> "Input":
        try:
            read = read_planes(sources(record, self._rules.channels), self._rules)
            return self._classifier.to_input(
                f"image {row}", read.planes, pixel_size_um=read.pixel_size_um, flags=read.flags
            )
        except InvalidImageError as error:
            raise MlflowException.invalid_parameter_value(f"image {row}: {error}") from error


def limits(config: Mapping[str, Any]) -> Serve:
    """Return the saved limits; earlier versions lack some, and had the white of 16-bit files."""
    values = {"depth": config.get("sixteen_bit_white"), **config}
    known: dict[str, Any] = {field.name: values.get(field.name) for field in fields(Serve)}
    return Serve(**known)


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


def limit_scoring_server(serve: Serve, channels: Channels) -> None:
    """Add request limits to the app of MLflow's server, which has no setting for them.

    Unknown channels are refused as well: MLflow would ignore columns that the model does not have.

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
            app.add_middleware(
                RequestLimits,
                max_bytes=max_bytes,
                content_types=content_types,
                check=partial(unknown_channels, channels),
            )
            return app

    sys.modules[SERVER].__class__ = LimitedServer
    logging.getLogger("mlflow.pyfunc.scoring_server").setLevel(logging.ERROR)


def unknown_channels(channels: Channels, body: bytes) -> str:
    """Name the columns of a request that are not channels; "" without one, or if it is malformed.

    >>> from hpa.vocabulary.hpa2018 import CHANNELS
    >>> unknown_channels(CHANNELS, b'{"dataframe_records": [{"Green": "", "blue": ""}]}')
    "unknown channels 'Green': the model has red, green, blue, yellow"
    """
    try:
        columns = _columns(json.loads(body))
    except (ValueError, RecursionError):  # MLflow says what is wrong
        return ""
    known = (*channels.names, IMAGE_FILE)
    unknown = [str(each) for each in dict.fromkeys(columns) if each not in known]
    named = ", ".join(repr(each[:40]) for each in unknown[:MAX_NAMED])
    return f"unknown channels {named}: the model has {', '.join(channels.names)}" if named else ""


def _columns(document: Any) -> list[Any]:
    """Return the names of columns in a body for MLflow, in any of its four formats."""
    match document:
        case {"dataframe_split": {"columns": list(names)}}:
            return [each for each in names if isinstance(each, str)]
        case {"dataframe_records": list(rows)} | {"instances": list(rows)} | {"inputs": list(rows)}:
            return [name for row in rows if isinstance(row, dict) for name in row]
        case {"instances": dict(table)} | {"inputs": dict(table)}:
            return list(table)
    return []


def sources(record: Mapping[Any, Any], channels: Channels) -> dict[str, Any]:
    """Return what a row holds for each channel; a file of several channels serves all of them.

    Raises:
        InvalidImageError: it holds nothing, both a file of several channels and others, or text
            that is not base64.
    """
    names = (*channels.names, IMAGE_FILE)
    given = {name: _decode(name, record.get(name)) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        protein = channels.names[channels.protein]
        raise InvalidImageError(
            f"no {IMAGE_FILE}, and no {protein} channel, which shows the protein"
        )
    if IMAGE_FILE not in given:
        return given
    if len(given) > 1:
        others = ", ".join(name for name in given if name != IMAGE_FILE)
        raise InvalidImageError(f"{IMAGE_FILE} and {others}: send one or the other")
    if not isinstance(given[IMAGE_FILE], bytes):
        raise InvalidImageError(f"{IMAGE_FILE}: an array, not the base64 text of a file")
    return dict.fromkeys(channels.names, given[IMAGE_FILE])


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
