"""What simulated cells teach about real ones: the recipe for cells from three starts.

    python benchmarks/real_cells.py --cells FOLDER/cells.csv --start MODEL_FOLDER
    python benchmarks/real_cells.py --cells CSV --start MODEL_FOLDER --seeds 1 --steps 80

Trains by params/cells.yaml from scratch, from a model of simulated images (MODEL_FOLDER, of the
default run) and, if they are at hand, from ImageNet weights; about ten minutes each on two idle
cores. The stages fetch, pack, split, train, score and threshold do it, each seed with a test split
of its own, which is the same for all starts: one split has only a few groups of the rare labels.
Each finished training is a file in --output and is not repeated.

Prints test macro F1 of each seed and of the test cells of all seeds together, and its difference to
the first start with the 95 % interval of a paired bootstrap over groups.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hpa.config.overlays import merged_params
from hpa.config.params import Params, changed_params
from hpa.errors import UserError
from hpa.evaluation.paired_bootstrap import compare
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import f1, macro_f1
from hpa.metrics.predictions import Scores
from hpa.system.backends import prepare_backend
from hpa.system.files import digest, read_json, sha256, write_json
from hpa.thresholds.decisions import decide
from hpa.thresholds.thresholds_file import read_thresholds
from hpa.vocabulary.labels import Labels

ROOT = Path(__file__).resolve().parents[1]
N_RESAMPLES = 2000
SCRATCH = "from scratch"


def main() -> None:
    """Do the missing trainings and print."""
    arguments = parse()
    starts = available_starts(arguments.start, arguments.imagenet)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in starts}
    with TemporaryDirectory(prefix="hpa-cells-") as name:
        for seed in range(1, arguments.seeds + 1):
            for place, (start, weights) in enumerate(starts.items(), start=1):
                print(f"seed {seed} of {arguments.seeds}, {place} of {len(starts)}: {start}")
                params = recipe(arguments, weights, seed)
                path = arguments.output / f"{start.replace(' ', '-')}-{seed}-{key(params)}.json"
                if not path.is_file():
                    write_json(path, train_once(params, Path(name), seed))
                runs[start].append(read_json(path))
                print(f"test macro F1 {runs[start][-1]['macro_f1']:.3f}", flush=True)
    print_table(runs)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=Path, required=True, help="CSV for fetch.source local")
    parser.add_argument("--start", type=Path, required=True, help="model of simulated images")
    parser.add_argument("--imagenet", default="imagenet", help="as model.weights; '' skips it")
    parser.add_argument("--seeds", type=int, default=3, help="trainings from each start")
    parser.add_argument("--steps", type=int, help="default: train.n_steps")
    parser.add_argument("--size", type=int, help="default: pack.image_size")
    parser.add_argument("--batch", type=int, help="default: train.batch_size")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "reports" / "real_cells", help="finished trainings"
    )
    return parser.parse_args()


def available_starts(model: Path, imagenet: str) -> dict[str, str]:
    """Return `model.weights` of each start; say if ImageNet's are left out."""
    from hpa.model.pretrained import find_weights  # loads Keras

    starts = {SCRATCH: "none", "from simulated images": str(model.resolve())}
    try:
        if imagenet:
            find_weights(imagenet)
            starts["from ImageNet"] = imagenet
    except UserError as error:
        print(f"without ImageNet weights, which are not here: {str(error).splitlines()[0]}")
    return starts


def recipe(arguments: argparse.Namespace, weights: str, seed: int) -> Params:
    """Return params/cells.yaml for a start and a seed; the first has the default test split."""
    _, params = merged_params(ROOT / "params.yaml", ROOT / "params" / "cells.yaml")
    steps = arguments.steps or params.train.n_steps
    changes: dict[str, Any] = {
        "fetch.path": str(arguments.cells.resolve()),
        "pack.image_size": arguments.size or params.pack.image_size,
        "split.seed": params.split.seed + seed - 1,
        "model.weights": weights,
        "train.n_steps": steps,
        "train.validate_every": min(params.train.validate_every, steps),
        "train.batch_size": arguments.batch or params.train.batch_size,
        "train.seed": seed,
    }
    return changed_params(params, changes)


def key(params: Params) -> str:
    """Digest the parameters, the cells and the weights of the start."""
    archive = Path(params.model.weights) / "best.keras"
    files = [Path(params.fetch.path), *([archive] if archive.is_file() else [])]
    places = {"fetch": replace(params.fetch, path=""), "model": replace(params.model, weights="")}
    return digest([asdict(replace(params, **places)), *map(sha256, files)])[:12]


def train_once(params: Params, folder: Path, seed: int) -> dict[str, Any]:
    """Run the stages in a folder and a store of their own; cells are read and packed once."""
    (folder / "params.yaml").write_text(yaml.safe_dump(asdict(params), sort_keys=False))
    environment = {**os.environ, "DVC_ROOT": str(folder), "MLFLOW_TRACKING_URI": "sqlite:///m.db"}
    data = [] if (folder / "data" / "packed").is_dir() else ["fetch", "pack"]
    for stage in [*data, "split", "train", "score", "threshold"]:
        command = [sys.executable, str(ROOT / "src" / f"{stage}.py")]
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
    thresholds, _ = read_thresholds(folder / "model" / "thresholds.json")
    test = Scores.read(folder / "scores" / "test.npz")
    y_true, y_pred = test.labelled(), decide(thresholds, test.y_prob)
    return {
        "seed": seed,
        "macro_f1": macro_f1(count_outcomes(y_true, y_pred)),
        "labels": list(test.labels.names),
        "groups": np.asarray(test.groups).tolist(),
        "y_true": y_true.tolist(),
        "y_pred": y_pred.tolist(),
    }


def print_table(runs: Mapping[str, list[dict[str, Any]]]) -> None:
    """Print each start, and what it gains over the first one, as Markdown."""
    first = runs[SCRATCH]
    labels, n_cells = Labels.named(first[0]["labels"]), len(together(first, "groups"))
    print(f"\n{n_cells} test cells of {len(first)} splits, {len(labels)} labels\n")
    print("| start | each seed | macro F1 | difference (95 % interval) |")
    print("|---|---|---|---|")
    for name, found in runs.items():
        y_true, groups = (together(first, column) for column in ("y_true", "groups"))
        before, after = (together(each, "y_pred") for each in (first, found))
        result = compare(y_true, groups, before, after, labels, seed=0, n=N_RESAMPLES)
        low, high = result.interval
        gain = "" if found is first else f"{result.difference:+.3f} ({low:+.3f} to {high:+.3f})"
        seeds = " ".join(f"{run['macro_f1']:.3f}" for run in found)
        print(f"| {name} | {seeds} | {result.macro_f1[1]:.3f} | {gain} |")
    print("\n| F1 | " + " | ".join(labels.names) + " |\n|" + "---|" * (len(labels) + 1))
    for name, found in runs.items():
        scores = f1(count_outcomes(together(first, "y_true"), together(found, "y_pred")))
        print(f"| {name} | " + " | ".join(f"{score:.2f}" for score in scores) + " |")


def together(runs: list[dict[str, Any]], column: str) -> np.ndarray:
    """Join a column of all seeds; a group in several test splits is drawn as one."""
    rows = np.concatenate([run[column] for run in runs])
    return rows if column == "groups" else rows.astype(np.uint8)


if __name__ == "__main__":
    prepare_backend()
    main()
