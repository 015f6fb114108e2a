"""Latency of the first prediction, and the rate of images per second after it.

    python benchmarks/predict.py                     some minutes, after make repro
    python benchmarks/predict.py --model FOLDER --images FOLDER --rounds 5

Runs `python src/predict.py` on two cores, in a process of its own per round, and times its lines.
Prints medians: seconds until the first prediction (target: under 15), images per second after it
(target: at least 5), and the processor seconds of both, which other load affects less. Without
--images it draws 60 images of 512 pixels.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from hpa.inference.models import read_model_vocabulary  # noqa: E402
from hpa.tracking.registered_models import model_folder  # noqa: E402
from hpa.vocabulary.channels import Channels  # noqa: E402

N_DRAWN, DRAWN_PX, N_CORES = 60, 512, 2


class Round(NamedTuple):
    """Times of one run of predict."""

    first_s: float
    rest_s: float
    n_rest: int
    cpu_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=str(ROOT / "model"), metavar="FOLDER|models:/…")
    parser.add_argument("--images", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:N_CORES])

    with model_folder(arguments.model) as folder:
        channels = read_model_vocabulary(folder).channels
    with TemporaryDirectory(prefix="hpa-predict-") as name:
        images = arguments.images or draw_images(Path(name) / "many", channels)
        one = first_image(images, Path(name) / "one", channels)
        alone = [run(one, arguments.model) for _ in range(arguments.rounds)]
        rounds = [run(images, arguments.model) for _ in range(arguments.rounds)]
    first_s = median(each.first_s for each in [*alone, *rounds])
    rate = median(each.n_rest / each.rest_s for each in rounds)
    first_cpu_s = median(each.cpu_s for each in alone)
    n_rest = rounds[0].n_rest
    cpu_ms = 1000 * (median(each.cpu_s for each in rounds) - first_cpu_s) / n_rest
    print(f"medians of {arguments.rounds} rounds on {N_CORES} cores; load {os.getloadavg()[0]:.1f}")
    print(f"first prediction: {first_s:.1f} s; a run of one image: {first_cpu_s:.1f} CPU s")
    print(f"then: {rate:.1f} images/s ({n_rest} images); {cpu_ms:.0f} CPU ms per image")
    if cpu_ms > 0:
        print(f"two idle cores: about {1000 * N_CORES / cpu_ms:.1f} images/s")


def run(images: Path, model: str) -> Round:
    """Run predict once and time its predictions."""
    command = [sys.executable, "-u", str(ROOT / "src/predict.py"), str(images), "--model", model]
    cpu_s, started = children_cpu_s(), time.monotonic()
    arrivals = []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith(("loading", "?", " ")) and line.strip():
                arrivals.append(time.monotonic())
    if process.returncode or not arrivals:
        sys.exit(f"predict failed with exit code {process.returncode}: {' '.join(command)}")
    return Round(
        first_s=arrivals[0] - started,
        rest_s=max(arrivals[-1] - arrivals[0], 1e-9),
        n_rest=len(arrivals) - 1,
        cpu_s=children_cpu_s() - cpu_s,
    )


def children_cpu_s() -> float:
    """Return the processor seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def draw_images(folder: Path, channels: Channels) -> Path:
    """Write images of blurred noise in each channel."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(N_DRAWN):
        for channel in channels.names:
            noise = random.integers(0, 256, (DRAWN_PX, DRAWN_PX), np.uint8)
            plane = cv2.GaussianBlur(noise, (0, 0), 2)
            cv2.imwrite(str(folder / f"image{number:02d}_{channel}.png"), plane)
    return folder


def first_image(folder: Path, target: Path, channels: Channels) -> Path:
    """Link the files of one image into a folder of their own."""
    target.mkdir()
    end = f"_{channels.names[channels.protein]}"
    protein = min(folder.rglob(f"*{end}.*"))
    for path in protein.parent.glob(f"{protein.stem.removesuffix(end)}_*"):
        (target / path.name).symlink_to(path.resolve())
    return target


if __name__ == "__main__":
    main()
