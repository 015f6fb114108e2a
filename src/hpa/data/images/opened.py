"""An image file, opened: what it says it holds, and its planes one by one.

Each format has a module that opens its files; `hpa.data.images.opening` chooses it by content.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np


class InvalidImageError(ValueError):
    """Error for a file that is not a usable image; the message describes what it holds."""


@dataclass(frozen=True)
class Description:
    """Contents of an image file, as its header states them; no pixel is decoded for it.

    Attributes:
        kind: name of the format in a biologist's words, such as `OME-TIFF` or `ImageJ stack`.
        height_px, width_px: of a plane at full resolution.
        dtype: of the samples, as stored.
        channel_names: of the channels, in order; "" for a channel without a name.
        n_slices: number of slices in depth (z).
        n_times: number of time points.
        n_scenes: number of fields, positions or series; a `Description` is of one of them.
        bits: bits that hold signal, if the file states them: 12 of a 16-bit sample.
        pixel_size_um: width and height of a pixel in micrometres; None if it is not stated, or the
            two differ.
        is_color_picture: one red-green-blue picture for people; `channel_names` then has one "".
        slice_names: labels of the slices of a file of one channel; empty without any.
    """

    kind: str
    height_px: int
    width_px: int
    dtype: np.dtype
    channel_names: tuple[str, ...] = ("",)
    n_slices: int = 1
    n_times: int = 1
    n_scenes: int = 1
    bits: int | None = None
    pixel_size_um: float | None = None
    is_color_picture: bool = False
    slice_names: tuple[str, ...] = ()


class OpenedImage(ABC):
    """An opened image file. Use it as a context manager, which closes the file.

    Attributes:
        description: what its header states.
        flags: reasons to distrust the planes that were read, in plain words.
    """

    description: Description
    flags: tuple[str, ...] = ()

    @abstractmethod
    def read(self, channel: int, z: int = 0) -> np.ndarray:
        """Decode a plane as [H,W] in the stored type; a color picture as uint8[H,W,3].

        Args:
            channel: index in `description.channel_names`.
            z: index of the slice, from 0.

        Raises:
            InvalidImageError: the plane is cut, damaged or compressed in an unknown way.
        """

    def close(self) -> None:  # noqa: B027 (files in memory have nothing to close)
        """Release the file."""

    def __enter__(self) -> "OpenedImage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def refusing_damage(what: str) -> Iterator[None]:
    """Turn any error of a library that reads a file into an `InvalidImageError`.

    Libraries raise errors of many types for metadata and pixels that are damaged.
    """
    try:
        yield
    except InvalidImageError:
        raise
    except Exception as error:
        reason = "it is not laid out as its format demands"
        if not isinstance(error, LookupError | TypeError | AttributeError | NameError):
            reason = str(error).partition("\n")[0][:200] or reason
        raise InvalidImageError(f"{what}, cut or damaged: {reason}") from error
