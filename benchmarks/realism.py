# ruff: noqa: E402
"""Evaluate a network trained on simulated images on real ones.

    python benchmarks/realism.py --real FOLDER              a model of make repro, half a minute
    python benchmarks/realism.py --real FOLDER --model DIR  trains there first if it is empty

FOLDER is in Kaggle's layout (`train.csv`, `train/<Id>_<colour>.png`). Prints Markdown: the area
under the ROC curve of each label with at least 5 real positives (0.5 is chance), beside that on
twins, new simulated images with the same labels; then measurements of real images and twins. A
label with a high area on twins and a low one on real images is drawn unrealistically; one with two
low areas was not learned. Intervals are 95 %, bootstrapped over images.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.feature import peak_local_max
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hpa.system.backends import prepare_backend

prepare_backend()  # before anything loads Keras

import keras

from hpa.data.images.catalogue import read_catalogue
from hpa.data.images.decoding import read_image
from hpa.data.synthesis.microscope import draw_image
from hpa.errors import UserError
from hpa.inference.prediction import sigmoid
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018, LABELS

SOURCE_DIR = Path(__file__).resolve().parents[1] / "src"
SIZE_PX = 256
MIN_POSITIVES = 5
N_TWINS = 4
SEED = 48
MIN_NUCLEUS_PX = 80
SPOT_PX = 15
N_RESAMPLES = 1000


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, required=True, help="folder in Kaggle's layout")
    parser.add_argument("--model", type=Path, default=Path("model"), help="default: model")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="to train with")
    arguments = parser.parse_args()
    if not (arguments.model / "best.keras").exists():
        train(arguments.model.resolve(), arguments.params)
    refuse_other_sources(arguments.model / "provenance.json")
    network = keras.saving.load_model(arguments.model / "best.keras", compile=False)
    images, y_real = read_real(arguments.real)
    twins, y_twin = draw_twins(y_real)
    table = aucs(y_real, predict(network, images), y_twin, predict(network, twins))
    real, twin = measures(images), measures(twins)
    print(auc_report(table, y_real, real, y_twin, twin))
    print()
    print(measure_report(real, twin))


def train(model_dir: Path, params: Path) -> None:
    """Run fetch, pack, split and train on simulated images, in a folder of their own."""
    with TemporaryDirectory(prefix="hpa-realism-") as name:
        shutil.copy(params, Path(name) / "params.yaml")
        for script, *options in (
            ("fetch", "--source", "synthetic"),
            ("pack",),
            ("split",),
            ("train", "--output", str(model_dir)),
        ):
            command = [sys.executable, str(SOURCE_DIR / f"{script}.py"), *options]
            subprocess.run(command, cwd=name, check=True, stdout=subprocess.DEVNULL)


def refuse_other_sources(provenance: Path) -> None:
    """Refuse a model that was trained on other images."""
    source = json.loads(provenance.read_text())["params"]["fetch.source"]
    if source != "synthetic":
        raise UserError(
            f"{provenance.parent} was not trained on simulated images",
            expected="fetch.source synthetic",
            received=f"fetch.source {source}",
            remedy="name another model, or an empty folder to train one, with --model",
        )


def read_real(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the labelled images of a folder as uint8[N,256,256,4] and y_true uint8[N,28]."""
    rows = read_catalogue(folder, HPA_2018)
    rows = rows[rows["labelled"]]
    images = [
        read_image(folder / row.folder, row.Id, CHANNELS.names, SIZE_PX)
        for row in rows.itertuples(index=False)
    ]
    return np.stack(images), LABELS.indicators(rows["Target"])


def draw_twins(y_real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw new images for each real one's labels, uint8[4N,256,256,4] and y_true uint8[4N,28]."""
    y_twin = np.repeat(y_real, N_TWINS, axis=0)
    images = [
        draw_image(tuple(np.flatnonzero(row).tolist()), seed=SEED, index=index, image_size=SIZE_PX)
        for index, row in enumerate(y_twin)
    ]
    return np.stack(images), y_twin


def predict(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return probabilities float32[N,28] of images shrunk to what the network sees."""
    size = network.input.shape[1]
    shrunk = [cv2.resize(each, (size, size), interpolation=cv2.INTER_AREA) for each in images]
    network.compile(jit_compile=False)
    return sigmoid(network.predict(np.stack(shrunk), batch_size=48, verbose=0))


def aucs(
    y_real: np.ndarray, p_real: np.ndarray, y_twin: np.ndarray, p_twin: np.ndarray
) -> pd.DataFrame:
    """Return `positives`, `real` with its interval, and `twin` per label that can be evaluated."""
    rows = []
    for label in np.flatnonzero(can_be_evaluated(y_real)):
        low, high = interval(y_real[:, [label]], p_real[:, [label]])
        rows.append(
            {
                "label": label,
                "positives": y_real[:, label].sum(),
                "real": roc_auc_score(y_real[:, label], p_real[:, label]),
                "real_low": low,
                "real_high": high,
                "twin": roc_auc_score(y_twin[:, label], p_twin[:, label]),
            }
        )
    table = pd.DataFrame(rows)
    several = table["label"].to_numpy()
    table.attrs["interval"] = interval(y_real[:, several], p_real[:, several])
    return table.sort_values("real", ascending=False)


def can_be_evaluated(y_true: np.ndarray) -> np.ndarray:
    """Return whether each label has at least 5 positives and a negative, bool[28]."""
    return (y_true.sum(axis=0) >= MIN_POSITIVES) & (y_true.min(axis=0) == 0)


def interval(y_true: np.ndarray, y_prob: np.ndarray) -> tuple[float, float]:
    """Bootstrap the mean AUC over labels: 95 % interval; labels without positives are skipped."""
    random = np.random.default_rng(SEED)
    means = []
    for _ in range(N_RESAMPLES):
        rows = random.integers(len(y_true), size=len(y_true))
        mixed = [c for c in range(y_true.shape[1]) if 0 < y_true[rows, c].mean() < 1]
        if mixed:
            scores = [roc_auc_score(y_true[rows, c], y_prob[rows, c]) for c in mixed]
            means.append(np.mean(scores))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def measures(images: np.ndarray) -> pd.DataFrame:
    """Measure brightness, nuclei and protein spots of each image of uint8[N,256,256,4]."""
    rows = []
    for image in images:
        blue, green = image[..., 2], image[..., 1]
        nuclei, mask = count_nuclei(blue)
        spots = spot_diameters(green)
        row: dict[str, float] = {}
        for number, channel in enumerate(CHANNELS.names):
            row[f"{channel} mean (grey levels)"] = image[..., number].mean()
            row[f"{channel} standard deviation"] = image[..., number].std()
        light = green - np.percentile(green, 5)
        row |= {
            "nuclei per field": nuclei,
            "nucleus diameter (px)": 2 * np.sqrt(mask.sum() / max(nuclei, 1) / np.pi),
            "spots per field": len(spots),
            "spot diameter (px)": np.median(spots) if len(spots) else np.nan,
            "protein inside nuclei (%)": 100 * light[mask].sum() / max(light.sum(), 1),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def count_nuclei(blue: np.ndarray) -> tuple[int, np.ndarray]:
    """Count nuclei of uint8[H,W], also touching ones; returns the number and mask bool[H,W].

    Otsu's threshold after a blur; a nucleus is a peak of the distance to the background.
    """
    smooth = cv2.GaussianBlur(blue, (0, 0), 2)
    _, mask = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    parts, _ = ndimage.label(ndimage.binary_fill_holes(mask))
    large = np.bincount(parts.ravel()) >= MIN_NUCLEUS_PX
    large[0] = False
    nuclei = large[parts]
    depth = cv2.GaussianBlur(
        cv2.distanceTransform(nuclei.astype(np.uint8), cv2.DIST_L2, 5), (0, 0), 2
    )
    peaks = peak_local_max(depth, min_distance=7, labels=nuclei.astype(int), exclude_border=False)
    return len(peaks), nuclei


def spot_diameters(green: np.ndarray) -> np.ndarray:
    """Return the diameters in pixels of spots brighter than their surroundings in uint8[H,W].

    White top-hat over 15 pixels, Otsu's threshold; the diameter is that of a disc of equal area.
    """
    smooth = cv2.GaussianBlur(green, (0, 0), 0.8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (SPOT_PX, SPOT_PX))
    hats = cv2.morphologyEx(smooth, cv2.MORPH_TOPHAT, disc)
    _, mask = cv2.threshold(hats, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    parts, _ = ndimage.label(mask)
    areas = np.bincount(parts.ravel())[1:]
    return 2 * np.sqrt(areas[areas >= 3] / np.pi)


def auc_report(
    table: pd.DataFrame,
    y_real: np.ndarray,
    real: pd.DataFrame,
    y_twin: np.ndarray,
    twin: pd.DataFrame,
) -> str:
    """Format one row per label: its areas, and measurements of its protein."""
    looks = ("spots per field", "spot diameter (px)", "protein inside nuclei (%)")
    lines = [
        "| label | positives | AUC real | AUC twins | "
        + " | ".join(f"{look}: real / twin" for look in looks)
        + " |",
        "|---|---|---|---|" + "---|" * len(looks),
    ]
    for row in table.itertuples():
        pairs = [
            f"{real[look][y_real[:, row.label] > 0].median():.1f} / "
            f"{twin[look][y_twin[:, row.label] > 0].median():.1f}"
            for look in looks
        ]
        lines.append(
            f"| {LABELS.names[row.label]} | {row.positives} | {row.real:.2f} "
            f"({row.real_low:.2f}–{row.real_high:.2f}) | {row.twin:.2f} | {' | '.join(pairs)} |"
        )
    low, high = table.attrs["interval"]
    lines.append(
        f"| **mean of {len(table)}** | | **{table['real'].mean():.3f}** ({low:.2f}–{high:.2f}) "
        f"| {table['twin'].mean():.3f} | | | |"
    )
    return "\n".join(lines)


def measure_report(real: pd.DataFrame, twin: pd.DataFrame) -> str:
    """Format one row per measurement: median and quartiles of real images and twins."""
    lines = ["| at 256 px | real | twins |", "|---|---|---|"]
    lines += [
        f"| {name} | {middle_half(real[name])} | {middle_half(twin[name])} |" for name in real
    ]
    return "\n".join(lines)


def middle_half(values: pd.Series) -> str:
    """Format the median and the quartiles."""
    low, median, high = values.quantile([0.25, 0.5, 0.75])
    return f"{median:.1f} ({low:.1f}–{high:.1f})"


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
