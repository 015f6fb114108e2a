"""Gallery folder: JPEG pictures of chosen test images and their description in gallery.json."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hpa.metrics.origins import UNKNOWN, Origin
from hpa.system.files import atomic_path, read_json, write_json

JPEG_QUALITY = 88  # no visible difference to PNG, and a sixth of its bytes on noisy images


@dataclass(frozen=True)
class GalleryImage:
    """One test image chosen for one label.

    Attributes:
        label: column of the label it was chosen for.
        kind: outcome of that label: true positive, false negative or false positive.
        image_id: name of the image.
        truth, predicted: columns of its labels.
        probability, threshold: of the label, in [0,1].
        file: name of the picture in the gallery folder.
    """

    label: int
    kind: str
    image_id: str
    truth: tuple[int, ...]
    predicted: tuple[int, ...]
    probability: float
    threshold: float
    file: str


def write_gallery(
    folder: Path,
    examples: list[tuple[GalleryImage, np.ndarray]],
    *,
    note: str,
    origin: Origin = UNKNOWN,
) -> None:
    """Write pictures RGB uint8[H,W,3] as JPEG and `gallery.json`; replace the folder atomically."""
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        for example, picture in examples:
            bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            (temporary / example.file).write_bytes(content.tobytes())
        rows = [asdict(example) for example, _ in examples]
        document = {"note": note, "origin": origin.to_json(), "examples": rows}
        write_json(temporary / "gallery.json", document)


def read_gallery(folder: Path) -> tuple[str, list[GalleryImage]]:
    """Return the note and the images that `write_gallery` wrote."""
    document: dict[str, Any] = read_json(folder / "gallery.json")
    for row in document["examples"]:
        row |= {key: tuple(row[key]) for key in ("truth", "predicted")}
    return document["note"], [GalleryImage(**row) for row in document["examples"]]


def gallery_origin(folder: Path) -> Origin:
    """Return what made the gallery; unknown if an earlier version wrote it, or if there is none."""
    path = folder / "gallery.json"
    return Origin.from_json(read_json(path).get("origin", {})) if path.is_file() else UNKNOWN
