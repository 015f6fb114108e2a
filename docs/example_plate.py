"""Write a small plate of simulated images as a microscope would: docs/microscope.md uses it.

    python docs/example_plate.py own/plate7            ten seconds: 72 fields and their plate map

Each field is an OME-TIFF of 192×288 pixels of 0.2 µm with five channels, of 12 bits in 16, one of
them (a transmitted-light picture) of no use; `plate.csv` has the label of each well.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import tifffile
from joblib import Parallel, delayed

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from hpa.data.synthesis.microscope import draw_image
from hpa.vocabulary.hpa2018 import LABELS

CHANNELS = ("DAPI", "GFP", "Tubulin", "ER", "Brightfield")
PLANES = (2, 1, 0, 3)
"""Simulated channels in the order of the file: nucleus, protein, microtubules, reticulum."""
COLUMNS = ("Nucleoli", "Mitochondria", "Golgi apparatus", "Nucleoplasm; Nucleoli", "Cytosol", "")
"""Label of each column of the plate; the last one is unlabelled."""
ROWS, FIELDS, SEED = "ABCD", 3, 7
OFFSET, GAIN, PIXEL_UM = 100, 15, 0.2


def main() -> None:
    """Write the plate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    wells = [(f"{row}{n:02}", label) for row in ROWS for n, label in enumerate(COLUMNS, start=1)]
    with (folder / "plate.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("well", "label"), *wells])
    fields = [(well, label, field) for well, label in wells for field in range(1, FIELDS + 1)]
    Parallel(n_jobs=-1)(
        delayed(write_field)(folder / f"{folder.name}_{well}_f{field}.ome.tif", label, number)
        for number, (well, label, field) in enumerate(fields)
    )
    print(f"{len(fields)} fields of {len(wells)} wells are in {folder}; labels in plate.csv")


def write_field(path: Path, label: str, number: int) -> None:
    """Draw a field of a label, of all fields of the plate that with this number."""
    names = label.split("; ") if label else [COLUMNS[number % 5]]
    columns = tuple(LABELS.names.index(name) for name in names[:2] if name in LABELS.names)
    grey = draw_image(columns, seed=SEED, index=number, image_size=288, brightness=1.0)[48:240]
    random = np.random.default_rng([SEED, number])
    light = GAIN * grey[..., PLANES].astype(np.uint16) + OFFSET
    transmitted = np.full((*grey.shape[:2], 1), 2000, np.uint16)
    planes = np.moveaxis(np.concatenate([light, transmitted], axis=-1), -1, 0)
    planes = planes + random.integers(0, GAIN, planes.shape, dtype=np.uint16)
    metadata = {
        "axes": "CYX",
        "Channel": {"Name": list(CHANNELS)},
        "SignificantBits": 12,
        "PhysicalSizeX": PIXEL_UM,
        "PhysicalSizeY": PIXEL_UM,
    }
    tifffile.imwrite(path, planes, metadata=metadata, photometric="minisblack")


if __name__ == "__main__":
    main()
