"""Draw the pictures of docs/microscope.md from its example, after its `dvc repro`.

    python docs/draw_microscope.py own/plate7/plate7_A01_f1.ome.tif

microscope-planes.png: the channels of the file as stored, and the three levels that are left of a
part of the protein's channel by different values of fetch.depth. microscope-tiles.png: the field,
where pack divides it, and the tiles as the network sees them. Writes into docs/.
"""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from hpa.config.params import fetched_channels, load_params  # noqa: E402
from hpa.data.images.depth import DepthRule, to_grey  # noqa: E402
from hpa.data.images.framing import FramingRules, to_tiles  # noqa: E402
from hpa.data.images.opening import open_image  # noqa: E402
from hpa.data.images.reading import ReadingRules, read_planes  # noqa: E402
from hpa.data.images.rendering import pseudo_colour  # noqa: E402

INK, FAINT, DPI = "#1f2328", "#8b949e", 150


def main() -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    path = parser.parse_args().file
    draw_planes(path)
    draw_tiles(path)


def draw_planes(path: Path) -> None:
    """Draw the channels as stored, and the protein's by three rules of depth."""
    channels = fetched_channels(load_params(Path("params.yaml")).fetch.channels)
    with open_image(path) as image:
        names = image.description.channel_names
        planes = [image.read(number) for number in range(len(names))]
        bits = image.description.bits
    figure, axes = plt.subplots(1, len(names), figsize=(9.6, 1.75), layout="constrained")
    for axis, name, plane in zip(axes, names, planes, strict=True):
        used = name in channels.names
        title = f"{name}, {plane.min()} to {plane.max()}" if used else f"{name}: not used"
        show(axis, plane, title, white=int(plane.max() if used else np.max(planes)))
        axis.title.set_color(INK if used else FAINT)
    figure.savefig(ROOT / "docs/microscope-planes.png", dpi=DPI)
    protein = channels.names[channels.protein]
    plane = planes[names.index(protein)]
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 2.6), layout="constrained")
    for axis, depth in zip(axes, ("camera", "percentile", 65535), strict=True):
        grey = to_grey({protein: plane}, DepthRule.of(depth), {protein: bits})[protein]
        show(axis, grey.pixels, f"depth: {depth}: {grey.n_levels} grey levels", white=255)
    figure.savefig(ROOT / "docs/microscope-depth.png", dpi=DPI)


def draw_tiles(path: Path) -> None:
    """Draw the field, its division, and the tiles at the network's size."""
    params = load_params(Path("params.yaml"))
    channels = fetched_channels(params.fetch.channels)
    rules = ReadingRules(channels=channels, depth=DepthRule.of(params.fetch.depth))
    read = read_planes(dict.fromkeys(channels.names, path), rules)
    framing = FramingRules(
        image_size=params.pack.image_size,
        odd_size=params.pack.odd_size,
        framing=params.pack.framing,
        pixel_size_um=params.pack.pixel_size_um,
    )
    tiles = to_tiles(read.planes, read.pixel_size_um, framing)
    field = pseudo_colour(np.dstack(read.planes), channels)
    ratios = [field.shape[1] / field.shape[0], *[1.0] * len(tiles)]
    figure, axes = plt.subplots(
        1, 1 + len(tiles), figsize=(9.6, 2.7), width_ratios=ratios, layout="constrained"
    )
    height, width = field.shape[:2]
    show(axes[0], field, f"a field: {width}×{height} pixels of {read.pixel_size_um:g} µm")
    for number, (axis, tile) in enumerate(zip(axes[1:], tiles, strict=True)):
        left = number * (width - height) / max(1, len(tiles) - 1)
        corner = (left, 0)
        axes[0].add_patch(Rectangle(corner, height - 1, height - 1, fill=False, color="white"))
        size = framing.image_size
        show(axis, pseudo_colour(tile, channels), f"tile {number + 1}: {size}×{size} pixels")
    figure.savefig(ROOT / "docs/microscope-tiles.png", dpi=DPI)


def show(axis: Axes, pixels: np.ndarray, title: str, white: int | None = None) -> None:
    """Show a picture without axes, grey if it has one sample per pixel."""
    axis.imshow(pixels, cmap="gray", vmin=0 if white else None, vmax=white)
    axis.set_title(title, fontsize=8, color=INK)
    axis.set_axis_off()


if __name__ == "__main__":
    main()
