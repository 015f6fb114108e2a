"""Decisions as short texts: they travel in the study, whichever machine made them."""

import base64
import zlib

import numpy as np

from hpa.labels import N_LABELS


def as_text(y_pred: np.ndarray) -> str:
    """Spell uint8[N,28] of 0 and 1; 6,000 rows take some 10 kB."""
    return base64.b64encode(zlib.compress(np.packbits(y_pred).tobytes(), 9)).decode("ascii")


def from_text(text: str, n_rows: int) -> np.ndarray:
    """Read what `as_text` spelt, uint8[n_rows,28]."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    return np.unpackbits(bits, count=n_rows * N_LABELS).reshape(n_rows, N_LABELS)
