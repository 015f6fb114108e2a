"""Devices: data parallelism on one machine, bfloat16, and when to compile with XLA."""

import contextlib
import platform
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import keras

from hpa.errors import UserError

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Processor flags of bfloat16 arithmetic on Linux: two of x86-64, one of Arm."""
CAPABILITY = ", compute capability "


def data_parallel(n_devices: int) -> AbstractContextManager[Any]:
    """Return the context in which to build and compile a model for several devices.

    Each device holds all weights and gets an equal part of each batch. TensorFlow uses a
    `tf.distribute.MirroredStrategy`. JAX uses a `keras.distribution.DataParallel`, which stays in
    force until the process ends.

    Raises:
        UserError: there are fewer devices, or Keras has no data parallelism on the backend.
    """
    if n_devices == 1:
        return contextlib.nullcontext()
    backend = keras.backend.backend()
    if backend not in ("jax", "tensorflow"):
        raise UserError(
            f"train.n_devices: the backend {backend} trains on one device",
            expected="1, or the backend jax or tensorflow",
            received=f"{n_devices}",
            remedy="set train.n_devices to 1, or train.backend to jax",
        )
    found = keras.distribution.list_devices()
    if len(found) < n_devices:
        raise UserError(
            f"train.n_devices: this machine has {len(found)} device(s)",
            expected=f"at most as many as {backend} sees: {', '.join(found)}",
            received=f"{n_devices}",
            remedy=f"set train.n_devices to {len(found)} or less",
        )
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.distribute.MirroredStrategy([f"/{name}" for name in found[:n_devices]]).scope()
    distribution = keras.distribution.DataParallel(devices=found[:n_devices])
    keras.distribution.set_distribution(distribution)
    return contextlib.nullcontext()


def synchronized(n_devices: int) -> bool:
    """Tell whether layers need `synchronized` to normalise over all devices; JAX always does."""
    return n_devices > 1 and keras.backend.backend() == "tensorflow"


def jit_compile(n_devices: int) -> bool | str:
    """Return Keras' `jit_compile`: False for TensorFlow on a CPU or on several devices.

    On a CPU its convolutions take 1.3 to 10 times as long with XLA as with oneDNN (96 and 64
    pixels), and XLA cannot compile a step within a MirroredStrategy.
    """
    if keras.backend.backend() != "tensorflow":
        return "auto"
    return "auto" if n_devices == 1 and _accelerator() is not None else False


def require_precision(precision: str) -> None:
    """Refuse bfloat16 if it would be emulated, which takes 9 to 50 times as long as float32.

    Raises:
        UserError: the accelerator, or the processor of a machine without one, has no bfloat16.
    """
    if precision == "float32":
        return
    device = _accelerator()
    if device is not None and device[1]:
        return
    if device is None and _processor_flags() & BFLOAT16_FLAGS:
        return
    where = device[0] if device else f"this {platform.machine()} processor"
    raise UserError(
        "train.precision: bfloat16 would be emulated, and slower than float32",
        expected="a GPU of compute capability 8.0 (Ampere) or more, a TPU, or a Linux processor "
        f"with one of {', '.join(sorted(BFLOAT16_FLAGS))}",
        received=f"{precision} on {where}",
        remedy="set train.precision to float32",
    )


def device_in_use() -> str:
    """Return the name of the first accelerator, or `cpu`."""
    found = _accelerator()
    return found[0].partition(CAPABILITY)[0] if found else "cpu"


def _accelerator() -> tuple[str, bool] | None:
    """Return the name of the first accelerator, and whether it has bfloat16; None without one."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if not (devices := tf.config.list_physical_devices("GPU")):
            return None
        details = tf.config.experimental.get_device_details(devices[0])
        return _gpu(details.get("device_name", "GPU"), details.get("compute_capability", (0, 0)))
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        if device.platform == "tpu":
            return device.device_kind, True
        if device.platform != "gpu":
            return None
        capability = re.findall(r"\d+", str(getattr(device, "compute_capability", "0.0")))
        return _gpu(device.device_kind, tuple(map(int, capability)))
    import torch

    if not torch.cuda.is_available():
        return None
    return _gpu(torch.cuda.get_device_name(), torch.cuda.get_device_capability())


def _gpu(name: str, capability: tuple[int, ...]) -> tuple[str, bool]:
    return f"{name}{CAPABILITY}{'.'.join(map(str, capability))}", capability >= (8, 0)


def _processor_flags(path: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Return the first processor's flags; none if there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return set()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()
