"""OME-XML, the metadata of an OME-TIFF, read as a stream within bounds.

Schema: https://www.openmicroscopy.org/Schemas/OME/2016-06/
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from hpa.data.images.headers import DamagedFileError
from hpa.data.images.opened import InvalidImageError

MAX_ELEMENTS, MAX_PLANES = 100_000, 20_000
MICROMETRES = {
    "m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "\u03bcm": 1.0, "um": 1.0, "nm": 1e-3, "pm": 1e-6,
    "\u00c5": 1e-4, "\u212b": 1e-4, "in": 25_400.0, "inch": 25_400.0, "meter": 1e6, "micron": 1.0,
    "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0, "nanometer": 1e-3, "millimeter": 1e3,
}  # fmt: skip
"""Micrometres of the units that OME-XML, ImageJ and MetaMorph write; both Greek letters occur."""


@dataclass
class TiffData:
    """Planes in one file, one per page: the first plane, the first page, their number."""

    first: Mapping[str, int]
    page: int
    n_planes: int | None
    file: str = ""
    uuid: str = ""


@dataclass
class OmeImage:
    """One image (scene) of the metadata; `sizes` by the letter of the axis (X, Y, Z, C, T)."""

    order: str
    sizes: Mapping[str, int]
    significant_bits: int | None
    pixel_size_um: float | None
    n_samples: int = 1
    channel_names: list[str] = field(default_factory=list)
    parts: list[TiffData] = field(default_factory=list)
    is_without_pixels: bool = False


@dataclass
class Ome:
    """The metadata: UUID of the file that holds them, and images. `master` names another file."""

    uuid: str = ""
    master: str = ""
    images: list[OmeImage] = field(default_factory=list)


def parse_ome(text: str) -> Ome:
    """Parse OME-XML.

    Raises:
        DamagedFileError: it is cut or damaged.
        InvalidImageError: it describes more planes than any image has.
    """
    target = _Target()
    parser = ElementTree.XMLParser(target=target)
    try:
        parser.feed(text)
        parser.close()
    except (DamagedFileError, InvalidImageError):
        raise
    except Exception as error:  # values made by hand raise many types
        raise DamagedFileError(f"OME metadata that cannot be read ({error!s:.80})") from error
    return target.ome


def micrometres(size: object, unit: str) -> float | None:
    """Convert a size to micrometres; None unless it is a positive number of a known unit."""
    try:
        value = float(str(size)) * MICROMETRES[unit.strip()]
    except (ValueError, KeyError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def same_size(x: float | None, y: float | None) -> float | None:
    """Return the size of a pixel if its width and height are equal."""
    return x if x and y and math.isclose(x, y, rel_tol=0.01) else None


class _Target:
    """Receiver of the elements of OME-XML in order, without a tree of them."""

    def __init__(self) -> None:
        self.ome, self._text = Ome(), ""
        self._n_elements = self._n_parts = 0
        self._handlers = {
            "OME": self._start_ome,
            "BinaryOnly": self._start_binary_only,
            "Pixels": self._start_pixels,
            "Channel": self._start_channel,
            "MetadataOnly": self._start_metadata_only,
            "TiffData": self._start_tiff_data,
            "UUID": self._start_uuid,
        }

    def doctype(self, *_: object) -> None:
        raise DamagedFileError("OME metadata with a document type")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._n_elements += 1
        if self._n_elements > MAX_ELEMENTS:
            raise DamagedFileError(f"OME metadata of more than {MAX_ELEMENTS:,} elements")
        self._text = ""
        if handle := self._handlers.get(tag.rpartition("}")[2]):
            handle(attributes)

    def data(self, text: str) -> None:
        self._text += text if len(self._text) < 1_000 else ""

    def end(self, tag: str) -> None:
        if tag.endswith("UUID") and self.ome.images and self.ome.images[-1].parts:
            self.ome.images[-1].parts[-1].uuid = self._text.strip()

    def close(self) -> None:
        pass

    def _start_ome(self, attributes: dict[str, str]) -> None:
        self.ome.uuid = attributes.get("UUID", "")

    def _start_binary_only(self, attributes: dict[str, str]) -> None:
        self.ome.master = attributes.get("MetadataFile", "")
        self.ome.uuid = attributes.get("UUID", "")

    def _start_pixels(self, attributes: dict[str, str]) -> None:
        bits, x, y = (
            attributes.get(name) for name in ("SignificantBits", "PhysicalSizeX", "PhysicalSizeY")
        )
        units = [attributes.get(f"PhysicalSize{axis}Unit", "µm") for axis in "XY"]
        image = OmeImage(
            order=attributes["DimensionOrder"][2:],
            sizes={axis: int(attributes[f"Size{axis}"]) for axis in "XYZCT"},
            significant_bits=int(bits) if bits and re.fullmatch(r"\d{1,3}", bits) else None,
            pixel_size_um=same_size(micrometres(x, units[0]), micrometres(y, units[1])),
        )
        if min(image.sizes.values()) < 1 or sorted(image.order) != ["C", "T", "Z"]:
            raise DamagedFileError("OME metadata with impossible sizes")
        if (n_planes := math.prod(image.sizes[axis] for axis in "ZCT")) > MAX_PLANES:
            raise InvalidImageError(
                f"OME metadata that announce {n_planes:,} planes, more than {MAX_PLANES:,}: save "
                "one image, of one time, in its own file"
            )
        self.ome.images.append(image)

    def _start_channel(self, attributes: dict[str, str]) -> None:
        image = self.ome.images[-1]
        n_samples = int(attributes.get("SamplesPerPixel") or 1)
        if image.channel_names and n_samples != image.n_samples:
            raise DamagedFileError("OME metadata with channels of unequal numbers of samples")
        image.n_samples = n_samples
        image.channel_names.append(attributes.get("Name", "").strip())

    def _start_metadata_only(self, _: dict[str, str]) -> None:
        self.ome.images[-1].is_without_pixels = True

    def _start_tiff_data(self, attributes: dict[str, str]) -> None:
        self._n_parts += 1
        if self._n_parts > MAX_PLANES:
            raise DamagedFileError(f"OME metadata of more than {MAX_PLANES:,} planes")
        number = attributes.get("PlaneCount", attributes.get("NumPlanes"))
        default = 1 if "IFD" in attributes else None
        self.ome.images[-1].parts.append(
            TiffData(
                first={axis: int(attributes.get(f"First{axis}", 0)) for axis in "ZCT"},
                page=int(attributes.get("IFD", 0)),
                n_planes=int(number) if number else default,
            )
        )

    def _start_uuid(self, attributes: dict[str, str]) -> None:
        if self.ome.images and self.ome.images[-1].parts:
            self.ome.images[-1].parts[-1].file = attributes.get("FileName", "")
