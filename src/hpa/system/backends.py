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


def prepare_backend() -> None:
    """Check the backend that Keras will use, tune TensorFlow, and silence its log messages.

    TensorFlow enables oneDNN by default only on processors with instructions for neural networks;
    on others a training step takes 1.6 times as long without it. `TF_CPP_MIN_LOG_LEVEL=0` shows
    all that TensorFlow logs.

    Raises:
        UserError: the backend cannot train, or is not installed.
    """
    name, source = chosen_backend()
    if name not in INSTALLATION:
        raise UserError(
            f"Keras has no backend {name} that trains",
            expected=f"{source} to be {', '.join(INSTALLATION)}",
            received=repr(name),
            remedy=f"set {source} to one of these; KERAS_BACKEND takes precedence",
        )
    if find_spec(name) is None:
        raise UserError(
            f"the backend {name} is not installed",
            expected=f"the package {name}, as {source} names it",
            received="no such package in this environment",
            remedy=f"install it with {INSTALLATION[name]}; or set KERAS_BACKEND to tensorflow",
        )
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors that matter come as exceptions
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] != "0":
        quiet_tensorflow.install()


def chosen_backend() -> tuple[str, str]:
    """Return the backend that Keras will use, and the variable or file that selects it."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND"
    path = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["backend"]), str(path)
    except (OSError, ValueError, LookupError, TypeError):
        return "tensorflow", "KERAS_BACKEND"  # Keras' own default
