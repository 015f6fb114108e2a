"""Assign each labelled image to train, val or test; no picture and no group on two sides.

python src/split.py            some seconds; prints each label's images a split
python src/split.py --n_folds 5 --fold 2
"""

from dataclasses import asdict
from pathlib import Path

from hpa import command_line
from hpa.data.packing import read_index
from hpa.data.splitting import split_images, write_split

PACKED_DIR, SPLIT_DIR = Path("data/packed"), Path("data/split")


def main() -> None:
    """Split data/packed."""
    params, _ = command_line.parse(command_line.parser(__doc__, "split"))
    index = read_index(PACKED_DIR)
    assignment = split_images(index, **asdict(params.split))
    counts = write_split(SPLIT_DIR, index, assignment)
    print(counts.to_string(index=False))
    print(assignment["split"].value_counts().to_string())
    print(f"the assignment is in {SPLIT_DIR / 'assignment.csv'}")


if __name__ == "__main__":
    command_line.run(main)
