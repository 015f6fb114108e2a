"""Measure the speed of the simulated microscope and draw a montage.

    python benchmarks/synthesis.py montage.png
    python benchmarks/synthesis.py montage.png --real data/raw

Prints images per CPU second on one core at 256 px (a few seconds) and writes a montage: each tile
shows an image in red, green and blue beside its stretched green channel. With `--real`, a folder in
Kaggle's layout (`train.csv` and `train/<Id>_<colour>.png`), the left half shows real images.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hpa.data.synthesis.label_sets import draw_label_sets
from hpa.data.synthesis.microscope import draw_image
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS

TILE_PX = 256
N_ROWS, N_COLUMNS = 6, 2


def images_per_cpu_second(n_images: int) -> float:
    """Time `draw_image` on mixed label sets by the CPU clock."""
    label_sets = draw_label_sets(n_images, tempering=0.5, seed=1)
    start = time.process_time()
    for index, label_set in enumerate(label_sets):
        draw_image(label_set, seed=1, index=index, image_size=TILE_PX)
    return n_images / (time.process_time() - start)


def read_real(folder: Path, n_images: int) -> list[tuple[str, np.ndarray]]:
    """Read the first images of a folder as (Target, uint8[H,W,4])."""
    with (folder / "train.csv").open() as file:
        rows = list(csv.DictReader(file))[:n_images]
    images_dir = folder / "train" if (folder / "train").is_dir() else folder
    named = []
    for row in rows:
        paths = [images_dir / f"{row['Id']}_{channel}.png" for channel in CHANNELS.names]
        channels = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
        named.append((row["Target"], np.stack(channels, axis=-1)))
    return named


def draw_like(targets: list[str], seed: int) -> list[tuple[str, np.ndarray]]:
    """Draw an image for each Target."""
    sets = [LABELS.parse(target) for target in targets]
    return [
        (LABELS.format(labels), draw_image(labels, seed=seed, index=i, image_size=TILE_PX))
        for i, labels in enumerate(sets)
    ]


def tile(caption: str, image: np.ndarray) -> np.ndarray:
    """Return a tile uint8[256,512,3]: pseudo-colour, and the stretched green channel."""
    small = cv2.resize(image, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
    green = small[..., 1].astype(np.float32)
    stretched = np.clip(green * (255 / max(np.percentile(green, 99.7), 20)), 0, 255)
    both = np.hstack([small[..., :3], np.repeat(stretched[..., None], 3, axis=2).astype(np.uint8)])
    both = np.ascontiguousarray(both)
    cv2.putText(both, caption, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
    return both


def grid(named: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Arrange the tiles in rows of two."""
    tiles = [tile(caption, image) for caption, image in named]
    rows = [np.hstack(tiles[i : i + N_COLUMNS]) for i in range(0, len(tiles), N_COLUMNS)]
    return np.vstack(rows)


def main() -> None:
    """Print the speed and write the montage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("montage", type=Path, help="PNG to write")
    parser.add_argument("--real", type=Path, help="folder with train.csv in Kaggle's layout")
    parser.add_argument("--n-images", type=int, default=100, help="images to time")
    parser.add_argument("--seed", type=int, default=1, help="seed of the drawn images")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{images_per_cpu_second(arguments.n_images):.1f} images per CPU second at {TILE_PX} px")
    n_tiles = N_ROWS * N_COLUMNS
    if arguments.real is None:
        drawn_sets = draw_label_sets(n_tiles, tempering=0.5, seed=arguments.seed)
        montage = grid(draw_like([LABELS.format(s) for s in drawn_sets], arguments.seed))
    else:
        real = read_real(arguments.real, n_tiles)
        drawn = draw_like([target for target, _ in real], arguments.seed)
        montage = np.hstack([grid(real), grid(drawn)])
    cv2.imwrite(str(arguments.montage), montage[..., ::-1])
    print(f"wrote {arguments.montage}")


if __name__ == "__main__":
    main()
