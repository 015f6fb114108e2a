"""Encode decisions as text, to store them in an Optuna study."""

import base64
import zlib

import numpy as np

from hpa.labels import N_LABELS


def encode_decisions(y_pred: np.ndarray) -> str:
    """Encode uint8[N,28] of 0 and 1; 6,000 rows take 10 kB."""
    return base64.b64encode(zlib.compress(np.packbits(y_pred).tobytes(), 9)).decode("ascii")


def decode_decisions(text: str, n_rows: int) -> np.ndarray:
    """Decode to uint8[n_rows,28]."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    return np.unpackbits(bits, count=n_rows * N_LABELS).reshape(n_rows, N_LABELS)
