"""Which library Keras computes with, and how: settled before anything is loaded."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

from hpa.errors import UserError

INSTALLATION = {
    "tensorflow": "make setup",
    "jax": "pip install jax",
    "torch": "the command for CPU, or for your GPU, of https://pytorch.org/get-started/locally",
}
"""What brings each backend that trains."""


def prepare_backend() -> None:
    """Refuse a backend that Keras would only stumble over while it is imported; tune TensorFlow.

    TensorFlow takes oneDNN by itself only on processors with instructions for neural networks;
    on others, a training step takes 1.6 times as long without it.

    Raises:
        UserError: it is none that trains, or it is not installed.
    """
    name, source = chosen_backend()
    if name not in INSTALLATION:
        raise UserError(
            f"Keras has no backend {name} that trains",
            expected=f"{source} to be {', '.join(INSTALLATION)}",
            received=repr(name),
            remedy=f"set {source} to one of these; KERAS_BACKEND goes before all else",
        )
    if find_spec(name) is None:
        raise UserError(
            f"the backend {name} is not installed",
            expected=f"the package {name}, as {source} names it",
            received="no such package in this environment",
            remedy=f"install it with {INSTALLATION[name]}; or set KERAS_BACKEND to tensorflow",
        )
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what matters comes as an exception


def chosen_backend() -> tuple[str, str]:
    """Return the backend that Keras will take, and what says so; its own default is TensorFlow."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND"
    path = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["backend"]), str(path)
    except (OSError, ValueError, LookupError, TypeError):
        return "tensorflow", "KERAS_BACKEND"
