"""Decode every image once into data/packed: pixels, statistics, perceptual hashes.

python src/pack.py             some seconds for the default images
python src/pack.py --pack.image_size 128
"""

from pathlib import Path

from hpa import command_line
from hpa.data.packing import pack

RAW_DIR, PACKED_DIR = Path("data/raw"), Path("data/packed")


def main() -> None:
    """Pack data/raw."""
    params, _ = command_line.parse(command_line.parser(__doc__, "pack"))
    index = pack(
        RAW_DIR,
        PACKED_DIR,
        image_size=params.pack.image_size,
        shard_rows=params.pack.shard_rows,
    )
    n_blank = int((index["blank"] != "").sum())
    print(f"{len(index)} images are in {PACKED_DIR}; {n_blank} have a blank channel (index.csv)")


if __name__ == "__main__":
    command_line.run(main)
