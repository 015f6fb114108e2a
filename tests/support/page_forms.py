"""Forms as the page sends them, with valid and invalid image files."""

import io
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image

from hpa.config.params import load_params
from hpa.vocabulary.channels import IMAGE_FILE
from hpa.vocabulary.hpa2018 import CHANNELS
from support.paths import ROOT
from support.worlds import draw_pixels

PARAMS = load_params(ROOT / "params.yaml")
CARD = "<!DOCTYPE html><title>Model card</title><style>h1 { color: navy }</style><h1>The card</h1>"

Form = list[tuple[str, tuple[str, bytes]]]


def png(plane: np.ndarray) -> bytes:
    return cv2.imencode(".png", plane)[1].tobytes()


def form(name: str, seed: int = 0, **instead: bytes) -> Form:
    """Encode a drawn image as the fields of a form; `instead` replaces the bytes of channels."""
    pixels = draw_pixels(seed)
    files = {channel: png(pixels[..., k]) for k, channel in enumerate(CHANNELS.names)} | instead
    return [(channel, (f"{name}_{channel}.png", content)) for channel, content in files.items()]


def whole_form(file_name: str, content: bytes) -> Form:
    """Return the form of a file that holds all channels."""
    return [(IMAGE_FILE, (file_name, content))]


def tiff(values: np.ndarray, **how: object) -> bytes:
    """Return the bytes of a TIFF, as tifffile writes it by `how`."""
    content = io.BytesIO()
    tifffile.imwrite(content, values, **how)  # type: ignore[arg-type]
    return content.getvalue()


def ome_tiff(pixels: np.ndarray, axes: str = "CYX", **metadata: object) -> bytes:
    """Return the OME-TIFF of [H,W,K], or of other axes; C are the four channels by name."""
    planes = np.moveaxis(pixels, -1, 0) if axes == "CYX" else pixels
    if "C" in axes:
        metadata["Channel"] = {"Name": list(CHANNELS.names)}
    return tiff(planes, ome=True, photometric="minisblack", metadata={"axes": axes, **metadata})


def float_tiff() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((64, 64), np.nan, np.float32)).save(content, "TIFF")
    return content.getvalue()


def bomb() -> bytes:
    """Return a PNG of a few kilobytes whose header claims 20,000 × 20,000 pixels."""
    content = bytearray(png(np.zeros((64, 64), np.uint8)))
    content[16:24] = (20_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)
