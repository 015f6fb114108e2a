"""Files of microscopes' makers: CZI (Zeiss), ND2 (Nikon) and LIF (Leica).

Packages of the optional extra `microscopes` read them, in a process of its own per file (see
`vendor_worker`), which takes a third of a second.
"""

import json
import math
import os
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hpa.data.images.opened import Description, InvalidImageError, OpenedImage, refusing_damage

CZI_SIGNATURE, ND2_SIGNATURE = b"ZISRAWFILE", b"\xda\xce\xbe\x0a"
PACKAGES = {"CZI": ("Zeiss", "pylibCZIrw"), "ND2": ("Nikon", "nd2"), "LIF": ("Leica", "liffile")}
WORKER = "hpa.data.images.vendor_worker"
SOURCE_DIR = Path(__file__).parents[3]
TIMEOUT_S = 60
"""Seconds of a plane, at most."""
MAX_ANSWER_BYTES = 10_000_000


def open_vendor_image(
    source: Path | bytes, *, scene: int | None, max_size_px: int
) -> "VendorImage":
    """Open a CZI, ND2 or LIF file, from a path or from its bytes.

    Raises:
        InvalidImageError: it is damaged or not such a file, or its package is not installed.
    """
    head = source[:16] if isinstance(source, bytes) else _head(source)
    is_czi, is_nd2 = head.startswith(CZI_SIGNATURE), head.startswith(ND2_SIGNATURE)
    kind = "CZI" if is_czi else "ND2" if is_nd2 else "LIF"
    maker, package = PACKAGES[kind]
    if find_spec(package) is None:
        raise InvalidImageError(
            f"a {kind} file of {maker}, which needs {package} of the optional extra `microscopes`: "
            f"run `make setup`, or in an environment of your own `pip install {package}`; or save "
            "the image as OME-TIFF"
        )
    return VendorImage(source, kind=kind, scene=scene, max_size_px=max_size_px)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


class VendorImage(OpenedImage):
    """An image in a microscope's file, read by a process of its own.

    The bytes of a file are handed over in memory: they never reach the disk.
    """

    def __init__(self, source: Path | bytes, *, kind: str, **options: Any) -> None:
        self._what = f"{'an' if kind == 'ND2' else 'a'} {kind} file"
        with refusing_damage(self._what), ExitStack() as stack:
            self._process = _start(source, [kind], json.dumps(options), stack)
            found, _ = self._answer()
            found |= {"dtype": np.dtype(found["dtype"])}
            found |= {key: tuple(found[key]) for key in ("channel_names", "slice_names")}
            self.description = Description(**found)
            self._stack = stack.pop_all()

    def read(self, channel: int, z: int = 0) -> np.ndarray:
        """Decode a plane; see `OpenedImage.read`."""
        found = self.description
        shape = (found.height_px, found.width_px, *[3] * found.is_color_picture)
        n_bytes = math.prod(shape) * found.dtype.itemsize
        with refusing_damage(self._what):
            answer, pixels = self._answer({"channel": channel, "z": z}, n_bytes)
            if tuple(answer["shape"]) != shape:
                raise InvalidImageError(f"{self._what}, damaged: its planes differ in size")
            return np.frombuffer(bytearray(pixels), found.dtype).reshape(shape)

    def _answer(
        self, request: dict[str, int] | None = None, n_bytes: int = 0
    ) -> tuple[dict[str, Any], bytes]:
        """Return the answer of the process, and the pixels that follow it.

        Raises:
            InvalidImageError: it reports an error, has crashed, or takes too long.
        """
        timer = threading.Timer(TIMEOUT_S, self._process.kill)
        timer.start()
        try:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            if request is not None:
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline(MAX_ANSWER_BYTES)
            answer = json.loads(line) if line else {"error": _unreadable(self._what)}
            if "error" in answer:
                raise InvalidImageError(answer["error"])
            return answer, self._process.stdout.read(n_bytes)
        except OSError as error:  # a pipe that nobody reads any more
            raise InvalidImageError(_unreadable(self._what)) from error
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the process, and free its copy in memory."""
        self._stack.close()


def _unreadable(what: str) -> str:
    return f"{what}, cut or damaged: it crashes, stalls or overloads the library that reads it"


def _start(
    source: Path | bytes, kind: list[str], options: str, stack: ExitStack
) -> "subprocess.Popen[bytes]":
    """Start the process that reads a file; the end of the stack ends it."""
    path, passed = str(source), []
    if isinstance(source, bytes):
        passed = [_in_memory(source)]
        stack.callback(os.close, passed[0])
        path = f"/proc/self/fd/{passed[0]}"
    places = [str(SOURCE_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", WORKER, *kind, path, options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=passed,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "OPENBLAS_NUM_THREADS": "1"},
    )
    stack.callback(_end, process)
    return process


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):  # a request that the process has not read
            if pipe is not None:
                pipe.close()


def _in_memory(content: bytes) -> int:
    """Return the descriptor of a file in memory, as the libraries open paths.

    Raises:
        InvalidImageError: the system has none.
    """
    if not hasattr(os, "memfd_create"):
        raise InvalidImageError(
            "a microscope's file, which this system reads from a path only: save it as OME-TIFF"
        )
    descriptor = os.memfd_create("image")
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return descriptor
