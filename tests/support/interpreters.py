"""Python with a backend: this one, or HPA_TORCH_PYTHON, such as the benchmarks'."""

import os
import subprocess
import sys

import pytest


def python_with(backend: str) -> str:
    """Return a Python that can import a backend, or skip the test."""
    for python in filter(None, (sys.executable, os.environ.get("HPA_TORCH_PYTHON"))):
        if not subprocess.run([python, "-c", f"import {backend}"], capture_output=True).returncode:
            return python
    pytest.skip(f"{backend} is not installed: set HPA_TORCH_PYTHON to a Python that has it")
