"""Gain of contrast and blur augmentation, on images of this and of another microscope.

    python benchmarks/augmentation.py                after make repro; five hours on two cores
    python benchmarks/augmentation.py --seeds 1 --steps 80 --only none blur-1

Each recipe is params.yaml with other values of augment.contrast and augment.blur, trained on
data/packed with data/split; thresholds are chosen on val, as the threshold stage does. Macro F1 of
the test split is printed for the images as they are, and with every channel changed as another
microscope might: contrast (exponents 2/3 and 3/2) and focus (a Gaussian of 1 pixel). Each finished
training is a file in --output and is not repeated.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hpa.config.params import Params, load_params
from hpa.system.backends import prepare_backend
from hpa.system.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
RECIPES = {
    "none": {},
    "contrast-0.5": {"contrast": 0.5},
    "contrast-1": {"contrast": 1.0},
    "blur-1": {"blur": 1.0},
    "both": {"contrast": 0.5, "blur": 1.0},
}
Images = np.ndarray
MICROSCOPES: dict[str, Callable[[Images], Images]] = {
    "as they are": lambda images: images,
    "γ 2/3": lambda images: bent(images, 2 / 3),
    "γ 3/2": lambda images: bent(images, 3 / 2),
    "blurred": lambda images: gaussian_filter(images, (0, 1, 1, 0)),
}
N_AT_ONCE = 256


def main() -> None:
    """Train what is missing, and print a table."""
    arguments = parse()
    params = load_params(ROOT / "params.yaml")
    n_steps = arguments.steps or params.train.n_steps
    print("| recipe |", " | ".join(MICROSCOPES), "| training images/s |")
    print("|---|" + "---|" * (len(MICROSCOPES) + 1))
    for name in arguments.only:
        runs = []
        for seed in range(1, arguments.seeds + 1):
            path = arguments.output / f"{name}-{n_steps}-{seed}.json"
            if not path.is_file():
                train = replace(
                    params.train, n_steps=n_steps, validate_every=n_steps // 4, seed=seed
                )
                augment = replace(params.augment, **RECIPES[name])
                write_json(path, run(replace(params, train=train, augment=augment), arguments.data))
            runs.append(read_json(path))
        cells = (" ".join(f"{run[key]:.3f}" for run in runs) for key in MICROSCOPES)
        means = (f"**{np.mean([run[key] for run in runs]):.3f}**" for key in MICROSCOPES)
        values = [f"{mean} ({each})" for mean, each in zip(means, cells, strict=True)]
        rate = np.median([run["images_per_s"] for run in runs])
        print(f"| {name} |", " | ".join(values), f"| {rate:.0f} |", flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each recipe")
    parser.add_argument("--steps", type=int, help="default: train.n_steps of params.yaml")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="with packed and split")
    parser.add_argument("--output", type=Path, default=ROOT / "reports" / "augmentation")
    return parser.parse_args()


def run(params: Params, data: Path) -> dict[str, float]:
    """Train, choose thresholds on val, and return test macro F1 under each microscope."""
    prepare_backend()
    import keras

    from hpa.data.packed.assignment import read_assignment
    from hpa.data.packed.packed_images import PackedImages, read_index
    from hpa.metrics.counts import count_outcomes
    from hpa.metrics.f1 import f1
    from hpa.thresholds.fitting import fit_by_rule
    from hpa.training.loop import examples_of, fit
    from hpa.vocabulary.hpa2018 import LABELS

    rates: list[float] = []
    with TemporaryDirectory(prefix="hpa-augmentation-") as name:
        fit(
            params,
            packed_dir=data / "packed",
            split_dir=data / "split",
            model_dir=Path(name),
            on_round=lambda _step, metrics: rates.append(metrics["train/images_per_s"]),
        )
        network = keras.saving.load_model(Path(name) / "best.keras", compile=False)
    images, index = PackedImages(data / "packed"), read_index(data / "packed")
    split = read_assignment(data / "split", params.train.fold)["split"]
    val, test = (examples_of(index, split, each, LABELS) for each in ("val", "test"))

    def probabilities(rows: np.ndarray, change: Callable[[Images], Images]) -> np.ndarray:
        parts = [network.predict(each, verbose=0) for each in changed(images.read, rows, change)]
        return (1 / (1 + np.exp(-np.concatenate(parts)))).astype(np.float32)

    y_val = probabilities(val.rows, MICROSCOPES["as they are"])
    thresholds = fit_by_rule("selected", val.y_true, y_val, LABELS, fixed=0.5, seed=0)
    found = {
        key: thresholds.predict(probabilities(test.rows, change))
        for key, change in MICROSCOPES.items()
    }
    scores = {key: float(f1(count_outcomes(test.y_true, y)).mean()) for key, y in found.items()}
    keras.backend.clear_session()
    return scores | {"images_per_s": float(np.median(rates[1:]))}


def changed(
    read: Callable[[np.ndarray], Images], rows: np.ndarray, change: Callable[[Images], Images]
) -> Iterator[Images]:
    """Yield the images of rows, changed, a few at a time."""
    for first in range(0, len(rows), N_AT_ONCE):
        yield change(read(rows[first : first + N_AT_ONCE]))


def bent(images: Images, exponent: float) -> Images:
    """Raise each channel of each image, relative to its maximum, to an exponent."""
    peak = np.maximum(images.max(axis=(1, 2), keepdims=True), 1)
    return np.round(peak * (images / peak) ** exponent).astype(np.uint8)


if __name__ == "__main__":
    main()
