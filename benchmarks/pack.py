"""Compare packing with the student report's way of reading, on the same images.

    python benchmarks/pack.py FOLDER        two minutes; FOLDER in Kaggle's layout, 512 pixels

The report only decodes: matplotlib.imread of each channel and cv2.resize. Packing is the whole
stage: decoding, checks, statistics, hashes, checksums and the packed folder. Prints CPU seconds per
image of both (best of several alternating rounds) and their ratio, the parts of packing beside
inflating alone, and the wall time of one process and of two.

Then the reader of all formats (`open_image` and all planes) is compared with the bare decoders of
OpenCV (the folder's PNGs, from disk and from memory), of tifffile (OME-TIFF of four channels) and
of zarr (OME-Zarr).
"""

import argparse
import itertools
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import matplotlib.image
import numpy as np
import pandas as pd
import tifffile
import zarr

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
from hpa.data import packing
from hpa.data.images.catalogue import channel_path, read_catalogue
from hpa.data.images.decoding import perceptual_hash, read_channel, read_image
from hpa.data.images.opening import open_image
from hpa.data.shards import measure
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018

SIZE_PX, N_TURNS = 256, 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--times", type=int, default=20, help="copies of each image for one process against two"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    images = read_catalogue(arguments.folder, HPA_2018)
    with tempfile.TemporaryDirectory(prefix="hpa-pack-") as name:
        compare_readers(arguments.folder, images, Path(name))
        compare(arguments.folder, images, Path(name))
        profile(arguments.folder, images)
        scale(arguments.folder, images, arguments.times, Path(name))


def compare_readers(raw_dir: Path, images: pd.DataFrame, folder: Path) -> None:
    """Print CPU seconds of reading files as users bring them, beside those of the bare decoders."""
    paths = [
        channel_path(raw_dir / where, image_id, channel)
        for where, image_id in zip(images["folder"], images["Id"], strict=True)
        for channel in CHANNELS.names
    ]
    contents = [path.read_bytes() for path in paths]
    arrays = [np.frombuffer(each, np.uint8) for each in contents]
    grey = cv2.IMREAD_UNCHANGED
    for kind, ours, theirs in (
        ("PNG files, OpenCV", paths, lambda: [cv2.imread(str(each), grey) for each in paths]),
        ("PNG in memory, OpenCV", contents, lambda: [cv2.imdecode(each, grey) for each in arrays]),
    ):
        print_ratio(kind, ours, theirs)
    four = np.stack([cv2.imread(str(path), grey) for path in paths[: len(CHANNELS.names)]])
    for size, dtype, compression in itertools.product(
        (512, 2048), (np.uint8, np.uint16), (None, "zlib")
    ):
        planes = np.stack([cv2.resize(plane, (size, size)) for plane in four]).astype(dtype)
        path = folder / f"{size}-{planes.dtype}-{compression}.ome.tif"
        tifffile.imwrite(path, planes, compression=compression, metadata={"axes": "CYX"})
        copies = [path] * (20 if size == 512 else 2)
        kind = f"OME-TIFF {size}² {planes.dtype}, {compression or 'uncompressed'}, tifffile"
        print_ratio(kind, copies, lambda files=copies: [tifffile.imread(each) for each in files])
    for version, chunk in itertools.product((2, 3), (128, 512, 2048)):
        copies = [write_ome_zarr(folder / f"{version}-{chunk}.zarr", four, version, chunk)] * 2
        kind = f"OME-Zarr 2048² uint16, Zarr version {version}, chunks of {chunk}², zarr"
        print_ratio(kind, copies, lambda files=copies: [read_by_zarr(each) for each in files])


def write_ome_zarr(path: Path, four: np.ndarray, version: int, chunk: int) -> Path:
    """Write planes as OME-Zarr of 2048² pixels and 16 bits."""
    planes = np.stack([cv2.resize(plane, (2048, 2048)) for plane in four]).astype(np.uint16)
    group = zarr.open_group(path, mode="w", zarr_format=version)
    group.create_array("0", data=planes, chunks=(1, chunk, chunk))
    ome = {"multiscales": [{"axes": ["c", "y", "x"], "datasets": [{"path": "0"}]}]}
    group.attrs.update(ome if version == 2 else {"ome": ome})
    return path


def read_by_zarr(path: Path) -> list[np.ndarray]:
    """Read the planes of an OME-Zarr one by one, by zarr alone."""
    array = zarr.open_group(path, mode="r")["0"]
    return [array[channel] for channel in range(array.shape[0])]


def print_ratio(kind: str, files: Sequence[Path | bytes], read_bare: Callable[[], object]) -> None:
    """Print CPU seconds per file of our reader and of another one."""

    def read() -> None:
        for each in files:
            with open_image(each) as image:
                for channel in range(len(image.description.channel_names)):
                    image.read(channel)

    turns = [(cpu_s(read), cpu_s(read_bare)) for _ in range(N_TURNS)]
    ours, theirs = (1e3 * min(each) / len(files) for each in zip(*turns, strict=True))
    print(f"{kind} {theirs:.2f} CPU ms, ours {ours:.2f}: ratio {ours / theirs:.2f}")


def compare(raw_dir: Path, images: pd.DataFrame, folder: Path) -> None:
    """Print CPU seconds of the report's reading and of the whole stage in one process."""

    def read_as_report() -> None:
        for where, image_id in zip(images["folder"], images["Id"], strict=True):
            planes = [
                matplotlib.image.imread(channel_path(raw_dir / where, image_id, channel))
                for channel in CHANNELS.names
            ]
            np.stack([cv2.resize(plane, (SIZE_PX, SIZE_PX)) for plane in planes], axis=-1)

    turns = [
        (cpu_s(read_as_report), cpu_s(lambda: pack(raw_dir, folder / "packed", 1)))
        for _ in range(N_TURNS)
    ]
    theirs, ours = (min(each) / len(images) for each in zip(*turns, strict=True))
    print(f"the report {1e3 * theirs:.2f} CPU ms per image, pack {1e3 * ours:.2f}")
    print(f"ratio: {theirs / ours:.2f} times the images per second and core")


def profile(raw_dir: Path, images: pd.DataFrame) -> None:
    """Print the CPU time of each step per image."""
    folders = [raw_dir / where for where in images["folder"]]
    keys = list(zip(folders, images["Id"], strict=True))
    paths = [channel_path(*key, channel) for key in keys for channel in CHANNELS.names]
    streams = [compressed_pixels(path.read_bytes()) for path in paths]
    pixels = [read_image(*key, CHANNELS.names, SIZE_PX) for key in keys]
    for step, work in (
        ("inflating alone (zlib)", lambda: [zlib.decompress(each) for each in streams]),
        ("reading channels, checks included", lambda: [read_channel(each) for each in paths]),
        (
            "the same, resized and merged",
            lambda: [read_image(*key, CHANNELS.names, SIZE_PX) for key in keys],
        ),
        ("hashes", lambda: [perceptual_hash(each) for each in pixels]),
        ("statistics, hashes and CRC", lambda: [measure(each, CHANNELS.names) for each in pixels]),
    ):
        best = min(cpu_s(work) for _ in range(N_TURNS))
        print(f"  {1e3 * best / len(keys):6.2f} ms {step}")


def scale(raw_dir: Path, images: pd.DataFrame, times: int, folder: Path) -> None:
    """Print the wall time of one and of two processes on many links to the images."""
    repeated = folder / "repeated"
    rows = []
    for where in images["folder"].unique():
        (repeated / where).mkdir(parents=True)
    labelled = images[images["labelled"]]
    for number in range(times):
        for where, image_id in zip(labelled["folder"], labelled["Id"], strict=True):
            for channel in CHANNELS.names:
                original = channel_path(raw_dir / where, image_id, channel).resolve()
                copy = channel_path(repeated / where, f"{number}-{image_id}", channel)
                copy.symlink_to(original)
        rows.append(labelled.assign(Id=[f"{number}-{each}" for each in labelled["Id"]]))
    pd.concat(rows)[["Id", "Target"]].to_csv(repeated / "train.csv", index=False)
    pack(repeated, folder / "warm", 2)  # starts the worker processes
    walls: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(3):
        for n_jobs, found in walls.items():
            started = time.perf_counter()
            pack(repeated, folder / f"packed-{n_jobs}", n_jobs)
            found.append(time.perf_counter() - started)
    one, two = min(walls[1]), min(walls[2])
    n_images = times * len(labelled)
    print(f"{n_images} images: 1 process {one:.2f} s, 2 processes {two:.2f} s")
    print(f"ratio: {one / two:.2f}")


def pack(raw_dir: Path, packed_dir: Path, n_jobs: int) -> None:
    """Pack in shards of 48 images, about twenty per process."""
    packing.progress = lambda *_, **__: Silent()
    packing.pack(raw_dir, packed_dir, image_size=SIZE_PX, shard_rows=48, n_jobs=n_jobs)


class Silent:
    """A progress bar that shows nothing."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: int) -> None:
        """Ignore progress."""


def compressed_pixels(content: bytes) -> bytes:
    """Join the IDAT chunks of a PNG."""
    position, found = 8, []
    while position < len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        if kind == b"IDAT":
            found.append(content[position + 8 : position + 8 + length])
        position += 12 + length
    return b"".join(found)


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds that this process spends on `work`."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
