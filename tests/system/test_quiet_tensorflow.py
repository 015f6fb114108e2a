"""TensorFlow starts without a word, and shows its errors."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import ROOT

NETWORK = """
import numpy as np
from hpa.system.backends import prepare_backend
prepare_backend()
import keras
network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
network.compile("adam", "mse", jit_compile=True)
network.fit(np.zeros((2, 4)), np.zeros((2, 3)), verbose=0)
print(network.predict(np.zeros((2, 4)), verbose=0).shape)
"""
LOAD = "from hpa.system.backends import prepare_backend; prepare_backend(); import tensorflow"
INFO = "I0000 00:00:1795679239.304555   13366 port.cc:153] oneDNN custom operations are on."
FATAL = "F0000 00:00:1795679239.304555   13366 executor.cc:12] Check failed: no memory"
DRIVER = """
int cuInit(unsigned flags) { return 100; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuGetErrorName(int code, const char **name) { *name = "CUDA_ERROR_NO_DEVICE"; return 0; }
int cuGetErrorString(int code, const char **text) { *text = "no device"; return 0; }
"""


def run_code(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run Python as a script's process would, without the log level that this process has set."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    path = os.pathsep.join(filter(None, [environment.pop("PYTHONPATH", ""), str(ROOT / "src")]))
    return subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
    )


def fake_tensorflow(folder: Path, code: str) -> str:
    """Write a package of the name that writes to the file descriptor, as C++ does; its folder."""
    (folder / "tensorflow").mkdir()
    lines = f"import os\nos.write(2, b'{INFO}\\n')\n{code}\n"
    (folder / "tensorflow" / "__init__.py").write_text(lines)
    return str(folder)


@pytest.mark.slow
def test_a_network_trains_and_predicts_with_an_empty_stderr() -> None:
    done = run_code(NETWORK)
    assert (done.stdout, done.stderr) == ("(2, 3)\n", "")


@pytest.mark.slow
def test_a_driver_without_a_gpu_is_passed_over_in_silence(tmp_path: Path) -> None:
    if not (gcc := shutil.which("gcc")):
        pytest.skip("no gcc to build a driver with")
    (tmp_path / "driver.c").write_text(DRIVER)
    library = str(tmp_path / "libcuda.so.1")
    subprocess.run([gcc, "-shared", "-fPIC", "-o", library, tmp_path / "driver.c"], check=True)
    done = run_code(NETWORK, LD_LIBRARY_PATH=str(tmp_path))
    assert (done.stdout, done.stderr) == ("(2, 3)\n", "")
    everything = run_code(NETWORK, LD_LIBRARY_PATH=str(tmp_path), TF_CPP_MIN_LOG_LEVEL="0")
    assert "CUDA_ERROR_NO_DEVICE" in everything.stderr  # the driver was asked
    assert "oneDNN custom operations" in everything.stderr


def test_a_tensorflow_that_cannot_be_loaded_shows_its_error(tmp_path: Path) -> None:
    code = "os.write(2, b'a line of a library\\n')\nraise ImportError('no libtensorflow')"
    done = run_code(LOAD, PYTHONPATH=fake_tensorflow(tmp_path, code))
    assert done.returncode == 1
    assert done.stderr.startswith("a line of a library\nTraceback")
    assert done.stderr.endswith("ImportError: no libtensorflow\n")
    assert INFO not in done.stderr


def test_a_crash_while_tensorflow_loads_shows_its_last_words(tmp_path: Path) -> None:
    code = f"os.write(2, b'{FATAL}\\nlast words')\nos.abort()"
    done = run_code(LOAD, PYTHONPATH=fake_tensorflow(tmp_path, code))
    assert done.returncode < 0
    assert done.stderr.splitlines() == [FATAL, "last words"]


def test_without_grep_everything_is_shown(tmp_path: Path) -> None:
    done = run_code(LOAD, PYTHONPATH=fake_tensorflow(tmp_path, ""), PATH="/nowhere")
    assert (done.returncode, done.stderr) == (0, f"{INFO}\n")
