"""Keras backend: check it before anything is loaded."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

from hpa.errors import UserError
from hpa.system import quiet_tensorflow

INSTALLATION = {
    "tensorflow": "make setup",
    "jax": "pip install jax",
    "torch": "the command for CPU, or for your GPU, of https://pytorch.org/get-started/locally",
}
"""The backends that train, and how to install each."""


def prepare_backend(required: str | None = None, *, required_by: str = "train.backend") -> None:
    """Choose and check the backend that Keras will use, tune TensorFlow, silence its log messages.

    A stage of the pipeline requires the backend of its parameters or of its model: DVC does not
    see the environment, so a variable there must not decide an output. Without `required`,
    KERAS_BACKEND or Keras' own configuration chooses: predictions agree between backends.

    TensorFlow enables oneDNN by default only on processors with instructions for neural networks;
    on others a training step takes 1.6 times as long without it. `TF_CPP_MIN_LOG_LEVEL=0` shows
    all that TensorFlow logs.

    Raises:
        UserError: the backend cannot train, is not installed, or is not the required one.
    """
    if required:
        _require(required, required_by)
    name, source = (required, required_by) if required else chosen_backend()
    if name not in INSTALLATION:
        raise UserError(
            f"Keras has no backend {name} that trains",
            expected=f"{source} to be {', '.join(INSTALLATION)}",
            received=repr(name),
            remedy=f"set {source} to one of these",
        )
    if find_spec(name) is None:
        raise UserError(
            f"the backend {name} is not installed",
            expected=f"the package {name}, as {source} names it",
            received="no such package in this environment",
            remedy=f"install it with {INSTALLATION[name]}; or choose tensorflow",
        )
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors that matter come as exceptions
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] != "0":
        quiet_tensorflow.install()


def _require(name: str, required_by: str) -> None:
    """Set KERAS_BACKEND, which Keras reads when it is imported.

    Raises:
        UserError: the environment names another backend.
    """
    given = os.environ.get("KERAS_BACKEND") or name
    if given != name:
        other = f"train.backend={given}" if given in INSTALLATION else "train.backend=jax"
        raise UserError(
            f"KERAS_BACKEND contradicts {required_by}",
            expected=f"{name}, as {required_by} says, or no KERAS_BACKEND",
            received=f"KERAS_BACKEND={given}",
            remedy=f"unset KERAS_BACKEND; to train on another backend: dvc exp run -S {other}, or "
            f"python src/train.py --{other.replace('=', ' ')}",
        )
    os.environ["KERAS_BACKEND"] = name


def chosen_backend() -> tuple[str, str]:
    """Return the backend that Keras will use, and the variable or file that selects it."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND"
    path = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["backend"]), str(path)
    except (OSError, ValueError, LookupError, TypeError):
        return "tensorflow", "KERAS_BACKEND"  # Keras' own default
