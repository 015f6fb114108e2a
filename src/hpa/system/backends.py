"""Keras backend: check it before anything is loaded, and keep TensorFlow's start quiet."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from hpa.errors import UserError

INSTALLATION = {
    "tensorflow": "make setup",
    "jax": "pip install jax",
    "torch": "the command for CPU, or for your GPU, of https://pytorch.org/get-started/locally",
}
"""The backends that train, and how to install each."""
NOISE = (
    r"^WARNING: All log messages before absl::InitializeLog\(\) is called"
    r"|^[IW][0-9]{4} [0-9:.]+ +[0-9]+ [a-z_]+\.cc:[0-9]+\] "
    r"|Unable to register cu[A-Z]+ factory"  # by both libraries, on machines with a GPU
)
"""Lines that TensorFlow's C++ libraries write while they load, whatever the log level."""


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
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] != "0" and QuietTensorFlow not in sys.meta_path:
        sys.meta_path.insert(0, QuietTensorFlow)


def chosen_backend() -> tuple[str, str]:
    """Return the backend that Keras will use, and the variable or file that selects it."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND"
    path = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["backend"]), str(path)
    except (OSError, ValueError, LookupError, TypeError):
        return "tensorflow", "KERAS_BACKEND"  # Keras' own default


class QuietTensorFlow:
    """Import hook that filters stderr while TensorFlow loads, whichever library imports it."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return TensorFlow's own spec with a quiet loader; None for any other module."""
        if name != "tensorflow":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and (loader := spec.loader):
            execute = loader.exec_module

            def execute_quietly(module: ModuleType) -> None:
                with filtered_stderr(NOISE):
                    execute(module)
                for logger in ("tensorflow", "absl"):
                    logging.getLogger(logger).setLevel(logging.ERROR)

            loader.exec_module = execute_quietly  # type: ignore[method-assign]
        return spec


@contextmanager
def filtered_stderr(pattern: str) -> Iterator[None]:
    """Drop the lines that match an extended regular expression from file descriptor 2.

    `grep` filters, in a process of its own, so that the last words of a crash are still shown.
    """
    try:
        grep = subprocess.Popen(
            ["grep", "--line-buffered", "-avE", pattern],
            stdin=subprocess.PIPE,
            stdout=2,
            process_group=0,  # Ctrl-C ends this process, not its filter
        )
    except OSError:  # no grep: filter nothing
        yield
        return
    assert grep.stdin is not None
    stderr = os.dup(2)
    os.dup2(grep.stdin.fileno(), 2)
    grep.stdin.close()
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        with suppress(subprocess.TimeoutExpired):  # a child of another thread may still use it
            grep.wait(timeout=1)
