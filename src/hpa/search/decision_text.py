"""Encode decisions as text, to store them in an Optuna study."""

import base64
import math
import zlib

import numpy as np


def encode_decisions(y_pred: np.ndarray) -> str:
    """Encode uint8[N,C] of 0 and 1; 6,000 rows take 10 kB."""
    return base64.b64encode(zlib.compress(np.packbits(y_pred).tobytes(), 9)).decode("ascii")


def decode_decisions(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """Decode to uint8 of the shape [N,C]."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    return np.unpackbits(bits, count=math.prod(shape)).reshape(shape)
