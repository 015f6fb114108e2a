"""Program that reads a microscope's file for `vendor_files`, in a process of its own.

Damaged files crash, stall or fill the memory of the libraries that read them; a process can be
ended. It reads requests as lines of JSON and answers each with one, which pixels follow.
"""

import json
import resource
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from hpa.data.images.opened import InvalidImageError, OpenedImage

READERS = {
    "CZI": ("czi_files", "CziImage"),
    "ND2": ("nd2_files", "Nd2Image"),
    "LIF": ("lif_files", "LifImage"),
    "compressed TIFF": ("tiff_files", "TiffImage"),
}
MAX_MEMORY_BYTES = 4 << 30
"""Memory of the process, without files that are mapped: a frame of eight large planes, twice."""


def answer(found: dict[str, Any], pixels: bytes = b"") -> None:
    """Write an answer."""
    sys.stdout.buffer.write(json.dumps(found).encode() + b"\n" + pixels)
    sys.stdout.buffer.flush()


def serve(image: OpenedImage) -> None:
    """Describe the image, then answer requests for its planes."""
    answer({**asdict(image.description), "dtype": image.description.dtype.str})
    for line in sys.stdin:
        try:
            plane = image.read(**json.loads(line))
        except InvalidImageError as error:
            answer({"error": str(error)})
        else:
            answer({"shape": plane.shape}, plane.astype(image.description.dtype).tobytes())


def main() -> None:
    """Read the file that the command line names, with the reader's kind and arguments."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, hard))
    module, name = READERS[sys.argv[1]]
    reader = getattr(import_module(f"hpa.data.images.{module}"), name)
    try:
        with reader(Path(sys.argv[2]), **json.loads(sys.argv[3])) as image:
            serve(image)
    except InvalidImageError as error:
        answer({"error": str(error)})


if __name__ == "__main__":
    main()
