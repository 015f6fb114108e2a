"""Decode every image once into data/packed: pixels, statistics, perceptual hashes.

python src/pack.py             a few seconds for the default images; a killed run resumes
python src/pack.py --pack.image_size 128
python src/pack.py --odd_size tiles --pack.pixel_size_um 0.65    fields in squares of one scale
python src/pack.py --scheduler tcp://host:8786    on a Dask cluster that shares these files:
                                                  PYTHONPATH=src dask worker tcp://host:8786
"""

from hpa.config import command_line
from hpa.config.folders import PACKED_DIR, RAW_DIR
from hpa.data.packed.packed_images import TILE, read_quarantine
from hpa.data.packing import pack
from hpa.system.cluster import workers_of


def main() -> None:
    """Pack data/raw."""
    parser = command_line.parser(__doc__, "pack")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="address of a Dask cluster to pack on instead of this machine; same result",
    )
    params, arguments = command_line.parse(parser)
    with workers_of(arguments.scheduler):
        index = pack(
            RAW_DIR,
            PACKED_DIR,
            image_size=params.pack.image_size,
            shard_rows=params.pack.shard_rows,
            odd_size=params.pack.odd_size,
            framing=params.pack.framing,
            pixel_size_um=params.pack.pixel_size_um,
            max_unreadable_fraction=params.pack.max_unreadable_fraction,
        )
    n_blank = int((index["blank"] != "").sum())
    rows = "squares" if TILE in index else "images"
    print(f"{len(index)} {rows} are in {PACKED_DIR}; {n_blank} have a blank channel (index.csv)")
    if n_unreadable := len(read_quarantine(PACKED_DIR)):
        print(f"{n_unreadable} images could not be read and were skipped (quarantine.csv)")


if __name__ == "__main__":
    command_line.run(main)
