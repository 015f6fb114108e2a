"""ND2 files of Nikon, read by nd2. Each position is a scene."""

import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import imagecodecs
import nd2
import numpy as np

from hpa.data.images.opened import Description, InvalidImageError, OpenedImage, refusing_damage

MAX_CHANNELS = 1_000
KNOWN = set("TZPCYXS")


class Nd2Image(OpenedImage):
    """An image in an ND2 file."""

    def __init__(self, path: Path, *, scene: int | None, max_size_px: int) -> None:
        with refusing_damage("an ND2 file"), ExitStack() as stack:
            self._file: Any = stack.enter_context(nd2.ND2File(path))
            self._position = (scene or 1) - 1
            self._last = -1, np.empty(0)
            self.description = self._describe(max_size_px)
            self._stack = stack.pop_all()

    def _describe(self, max_size_px: int) -> Description:
        found, sizes = self._file.attributes, self._file.sizes
        height, width = found.heightPx, found.widthPx or 0
        if not (0 < height <= max_size_px and 0 < width <= max_size_px):
            raise InvalidImageError(
                f"{width}×{height} pixels (at most {max_size_px}×{max_size_px})"
            )
        n_positions = sizes.get("P", 1)
        if self._position >= n_positions:
            raise InvalidImageError(
                f"an ND2 file of {n_positions} positions: none has number {self._position + 1}"
            )
        if set(sizes) - KNOWN or not 0 < found.componentCount <= MAX_CHANNELS:
            raise InvalidImageError(
                f"an ND2 file whose axes are {' '.join(sizes)}, not channels, depth and time alone"
            )
        n_samples = self._file.components_per_channel
        is_color = n_samples == 3
        if is_color and (found.channelCount != 1 or self._file.dtype != np.uint8):
            raise InvalidImageError("an ND2 file of color pictures: export it as OME-TIFF")
        channels = self._file.metadata.channels or []
        names = [each.channel.name.strip() for each in channels]
        n_channels = 1 if is_color else found.componentCount
        volume = channels[0].volume if channels else None
        return Description(
            kind="ND2",
            height_px=height,
            width_px=width,
            dtype=self._file.dtype,
            channel_names=tuple(names if len(names) == n_channels else [""] * n_channels),
            n_slices=sizes.get("Z", 1),
            n_times=sizes.get("T", 1),
            n_scenes=n_positions,
            bits=found.bitsPerComponentSignificant if self._file.dtype.kind == "u" else None,
            pixel_size_um=_pixel_size_um(volume),
            is_color_picture=is_color,
        )

    def read(self, channel: int, z: int = 0) -> np.ndarray:
        """Decode a plane; see `OpenedImage.read`."""
        index = self._index(z)
        if self._last[0] != index:  # a frame has all channels
            with refusing_damage("an ND2 file"):
                self._last = index, self._frame(index)
        frame = self._last[1]
        if self.description.is_color_picture:
            return frame[:, :, 0]
        return np.ascontiguousarray(frame.reshape(*frame.shape[:2], -1)[..., channel])

    def _index(self, z: int) -> int:
        """Return the number of the frame: the last loop is the fastest."""
        index = 0
        at = {"Z": z, "P": self._position}
        for axis, n in self._file.sizes.items():
            if axis in "TZP":
                index = index * n + at.get(axis, 0)
        return index

    def _frame(self, index: int) -> np.ndarray:
        """Return a frame [H,W,channel,sample], decompressed to no more than it has."""
        found, reader = self._file.attributes, self._file._rdr
        n_channels = found.channelCount or 1
        shape = (found.heightPx, found.widthPx, n_channels, found.componentCount // n_channels)
        n_bytes = found.heightPx * (found.widthBytes or 0)
        chunk = f"ImageDataSeq|{index}!".encode()
        if chunk not in reader.chunkmap:  # its own read_frame returns zeros
            raise InvalidImageError(
                f"an ND2 file that lacks frame {index + 1}: copy it again, whole"
            )
        content: Any
        if found.compressionType == "lossless":
            content = imagecodecs.zlib_decode(reader._load_chunk(chunk)[8:], out=n_bytes)
        else:
            content = memoryview(reader._load_chunk(chunk))[8 : 8 + n_bytes]
        used = math.prod(shape[1:]) * self._file.dtype.itemsize
        rows = np.frombuffer(content, np.uint8).reshape(found.heightPx, -1)[:, :used]
        return np.ascontiguousarray(rows).view(self._file.dtype).reshape(shape)

    def close(self) -> None:
        """Close the file."""
        self._stack.close()


def _pixel_size_um(volume: nd2.structures.Volume | None) -> float | None:
    """Return the size of a pixel; None if it is not calibrated, or not of a square."""
    if volume is None or not all(volume.axesCalibrated[:2]):
        return None
    x, y, _ = volume.axesCalibration
    return x if 0 < x < math.inf and math.isclose(x, y, rel_tol=1e-3) else None
