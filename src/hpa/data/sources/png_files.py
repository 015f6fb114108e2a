"""PNG files whose bytes depend on the pixels alone, not on the machine that writes them.

OpenCV's wheel compresses with the zlib of the operating system, so an update of the system may
change the bytes. Pillow's wheel brings its own zlib-ng, whose usual search for matches takes the
instructions of the processor; the run-length strategy searches for none.
"""

import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8[H,W] as an 8-bit grey PNG; the same pixels give the same bytes everywhere."""
    Image.fromarray(pixels).save(path, format="PNG", compress_type=zlib.Z_RLE)
