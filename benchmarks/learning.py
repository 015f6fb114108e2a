"""Recipe comparison: ours against the student report's, with the same number of images seen.

    python benchmarks/learning.py                    after make repro; two hours
    python benchmarks/learning.py --seeds 1 --steps 80

Both train the same network on data/packed with data/split, with the same number of steps and batch
size, and keep the weights of the lowest validation loss. Ours is params.yaml, run by the stages
train, score and threshold. The report's is plain Adam at 1e-3, focal loss with gamma 2, no
schedule, no augmentation, a head whose bias starts at zero, thresholds swept on val, one view per
image. Each finished run is a file in --output and is not repeated, so that the benchmark resumes
after a kill. Prints test macro F1 of each run and the ratio of the means over the seeds, with the
95 % interval of a bootstrap over test images (the same draw for both).
"""

import argparse
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hpa.config.params import Params, load_params
from hpa.config.sections import Augment
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import f1
from hpa.metrics.predictions import Scores
from hpa.system.backends import prepare_backend
from hpa.system.files import digest, read_json, write_json
from hpa.thresholds.fitting import fit_by_rule
from hpa.thresholds.thresholds_file import read_thresholds
from hpa.vocabulary.hpa2018 import HPA_2018, LABELS

ROOT = Path(__file__).resolve().parents[1]
OURS, REPORT = "ours", "report"
N_RESAMPLES = 2000
N_ROUNDS = 4
REPORT_LEARNING_RATE = 1e-3


def main() -> None:
    """Do the missing runs and print."""
    arguments = parse()
    params = load_params(arguments.params)
    if arguments.steps:
        every = max(arguments.steps // N_ROUNDS, 1)
        train = replace(params.train, n_steps=arguments.steps, validate_every=every)
        params = replace(params, train=train)
    data = arguments.data.resolve()
    runs: dict[str, list[dict[str, Any]]] = {OURS: [], REPORT: []}
    for seed in range(1, arguments.seeds + 1):
        for name, run in ((REPORT, report_run), (OURS, our_run)):
            seeded = replace(params, train=replace(params.train, seed=seed))
            key = digest([asdict(seeded), (data / "split/assignment.csv").read_text()])[:12]
            path = arguments.output / f"{name}-{seed}-{key}.json"
            if not path.is_file():
                write_json(path, run(seeded, data))
            runs[name].append(read_json(path))
            print(f"{name:6s} seed {seed}: test macro F1 {runs[name][-1]['macro_f1']:.3f}")
    print_comparison(runs, params)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each recipe")
    parser.add_argument("--steps", type=int, help="default: train.n_steps of params.yaml")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="with packed and split")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "reports" / "learning", help="finished runs"
    )
    return parser.parse_args()


def our_run(params: Params, data: Path) -> dict[str, Any]:
    """Run the stages in a folder and a tracking store of their own."""
    with TemporaryDirectory(prefix="hpa-learning-") as name:
        folder = Path(name)
        (folder / "params.yaml").write_text(yaml.safe_dump(asdict(params), sort_keys=False))
        (folder / "data").symlink_to(data)
        environment = {**os.environ, "DVC_ROOT": name, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
        for stage in ("train", "score", "threshold"):
            command = [sys.executable, str(ROOT / "src" / f"{stage}.py")]
            subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
        thresholds, _ = read_thresholds(folder / "model/thresholds.json")
        test = Scores.read(folder / "scores/test.npz")
        return outcome(test.labelled(), thresholds.predict(test.y_prob))


def report_run(params: Params, data: Path) -> dict[str, Any]:
    """Train as the report describes, on the same batches without augmentation."""
    import keras

    from hpa.data.batches.packed_batches import TrainingBatches
    from hpa.data.packed.assignment import read_assignment
    from hpa.data.packed.packed_images import PackedImages, read_index
    from hpa.inference.prediction import predict_logits, sigmoid
    from hpa.training.loop import examples_of

    train, batch_size = params.train, params.score.batch_size
    images, index = PackedImages(data / "packed"), read_index(data / "packed")
    split = read_assignment(data / "split", train.fold)["split"]
    learns, val, test = (
        examples_of(index, split, name, LABELS) for name in ("train", "val", "test")
    )
    network, model, still = report_networks(params, images.row_shape[0])
    lowest, best = np.inf, None
    for first in range(0, train.n_steps, train.validate_every):
        batches = TrainingBatches(
            images,
            learns.rows,
            learns.y_true,
            batch_size=train.batch_size,
            seed=train.seed,
            augment=still,
            first=first,
            end=min(first + train.validate_every, train.n_steps),
        )
        model.fit(batches.feed(), shuffle=False, verbose=0)
        logits = predict_logits(network, images, val.rows, batch_size=batch_size)
        loss = float(network.loss(val.y_true, logits))
        print(f"report: step {first + len(batches)}, val loss {loss:.4f}", file=sys.stderr)
        if loss < lowest:
            lowest, best = loss, network.get_weights()
    if best is None:
        raise SystemExit("the report's recipe diverged: no validation loss is a number")
    network.set_weights(best)
    y_val, y_test = (
        sigmoid(predict_logits(network, images, each.rows, batch_size=batch_size))
        for each in (val, test)
    )
    keras.backend.clear_session()
    swept = fit_by_rule("sweep", val.y_true, y_val, LABELS, fixed=params.threshold.fixed, seed=0)
    return outcome(test.y_true, swept.predict(y_test))


def report_networks(params: Params, size: int) -> tuple[Any, Any, Augment]:
    """Return the recipe's network with the report's loss, start and optimizer."""
    import keras

    from hpa.training.recipe import compiled_networks

    keras.utils.set_random_seed(params.train.seed)
    still = Augment(turn=False, rotation=0.0, zoom=0.0, blur=0.0, contrast=0.0)
    loss = replace(params.loss, name="focal", gamma=2.0, alpha=None, label_smoothing=0.0)
    params = replace(params, augment=still, loss=loss)
    network, model = compiled_networks(params, HPA_2018, size, np.full(len(LABELS), 0.5))
    head = network.get_layer("logits")
    head.bias.assign(np.zeros(head.bias.shape))
    model.compile(
        optimizer=keras.optimizers.Adam(REPORT_LEARNING_RATE),
        loss=network.loss,
        jit_compile=model.jit_compile,
    )
    return network, model, still


def outcome(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, Any]:
    """Return macro F1, and labels and predictions in the competition's format."""
    return {
        "macro_f1": float(f1(count_outcomes(y_true, y_pred)).mean()),
        "y_true": [LABELS.format(set(np.flatnonzero(row).tolist())) for row in y_true],
        "y_pred": [LABELS.format(set(np.flatnonzero(row).tolist())) for row in y_pred],
    }


def print_comparison(runs: dict[str, list[dict[str, Any]]], params: Params) -> None:
    """Print means, ratio and interval as Markdown."""
    random = np.random.default_rng(1)
    n_images = len(runs[OURS][0]["y_true"])
    draws = random.multinomial(n_images, np.full(n_images, 1 / n_images), N_RESAMPLES)
    means = {name: np.mean([each["macro_f1"] for each in found]) for name, found in runs.items()}
    drawn = {
        name: np.mean([resampled_macro_f1(each, draws) for each in found], axis=0)
        for name, found in runs.items()
    }
    with np.errstate(divide="ignore", invalid="ignore"):  # no true positives in a tiny world
        low, high = np.percentile(drawn[OURS] / drawn[REPORT], [2.5, 97.5])
    n_seen = params.train.n_steps * params.train.batch_size
    print(f"\n{n_seen:,} images seen, {n_images} test images\n")
    print("| recipe | test macro F1, mean | each seed |")
    print("|---|---|---|")
    for name, found in runs.items():
        each = " ".join(f"{run['macro_f1']:.3f}" for run in found)
        print(f"| {name} | {means[name]:.3f} | {each} |")
    print(f"\nratio: {means[OURS] / means[REPORT]:.2f} ({low:.2f}–{high:.2f})")


def resampled_macro_f1(run: dict[str, Any], draws: np.ndarray) -> np.ndarray:
    """Return macro F1 float64[R] where image i counts draws[r,i] times; draws int[R,N]."""
    y_true, y_pred = (LABELS.indicators(run[key]).astype(int) for key in ("y_true", "y_pred"))
    found, stated = draws @ (y_true & y_pred), draws @ (y_true + y_pred)
    return np.divide(2 * found, stated, out=np.zeros(found.shape), where=stated > 0).mean(axis=1)


if __name__ == "__main__":
    prepare_backend()
    main()
