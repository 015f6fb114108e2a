"""Cost of tracking, as a share of the training time at the default interval.

    python benchmarks/tracking.py            some minutes, after make repro

Measures the processor seconds of logging the metrics of a round to a fresh local store, of
beginning and ending a run, of logging its model (weights of the default size, all that serves them,
linked metrics), and of training steps with the default parameters. Prints the share of a round and
that of the whole run. Other artifacts are not included.
"""

import argparse
import os
import sys
import time
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from hpa.config.params import Params, load_params

ROOT = Path(__file__).parents[1]
ROUNDS = 50


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=6, help="training steps to measure")
    n_steps = parser.parse_args().steps
    os.environ.pop("MLFLOW_TRACKING_URI", None)

    params = load_params(ROOT / "params.yaml")
    step_s, n_bytes = step_seconds(params, n_steps)
    begin_s, round_s, model_s = tracking_seconds(params, n_bytes)
    every, total = params.train.validate_every, params.train.n_steps
    whole = (begin_s + model_s + round_s * total / every) / (step_s * total)
    print(f"a round logged: {1000 * round_s:.1f} ms; a training step: {1000 * step_s:.0f} ms")
    print(f"of {every} steps a round: {round_s / (every * step_s):.3%}")
    print(f"of a run of {total} steps, with begin and end ({begin_s:.2f} s) and its model of")
    print(f"{n_bytes / 1e6:.0f} MB ({model_s:.2f} s): {whole:.3%}")


def tracking_seconds(params: Params, n_bytes: int) -> tuple[float, float, float]:
    """Return the processor seconds of begin and end together, of one round, and of the model."""
    from hpa.tracking.model_files import log_model
    from hpa.tracking.stage_run import log_metrics, log_weights, stage_run

    with TemporaryDirectory() as name, chdir(name):
        network = {"path": str(write_model_folder(n_bytes))}
        os.environ["DVC_ROOT"] = name
        with stage_run("train", params, sections=("train",)):
            pass  # creates the store
        started = time.process_time()
        with stage_run("train", params, sections=("train", "loss", "model", "augment")):
            rounds = time.process_time()
            for step in range(ROUNDS):
                metrics = {"train/loss": 1.0, "train/images_per_s": 9.0, "val/loss": 1 / (step + 1)}
                log_metrics({**metrics, "val/macro_f1": 0.1}, step)
            model = time.process_time()
            rounds = model - rounds
            log_weights(Path(network["path"]))
            log_model([network], params.serve)
            model = time.process_time() - model
        begin_s = time.process_time() - started - rounds - model
        return begin_s, rounds / ROUNDS, model


def write_model_folder(n_bytes: int) -> Path:
    """Write what the stages leave for the model of a run, with weights of a size; return these."""
    from hpa.tracking.model_files import BESIDE_WEIGHTS, OF_EVALUATION

    weights = Path("model/best.keras")
    for path in (*map(weights.with_name, BESIDE_WEIGHTS), *OF_EVALUATION):
        path.parent.mkdir(exist_ok=True)
        path.write_text("some kilobytes\n" * 1000)
    weights.write_bytes(os.urandom(n_bytes))
    return weights


def step_seconds(params: Params, n_steps: int) -> tuple[float, int]:
    """Return the processor seconds of one training step of the default size, and the weights' size.

    The steps come after two for warm-up.

    The images are random numbers, which do not change the cost of a step.
    """
    import numpy as np

    from hpa.system.backends import prepare_backend
    from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018, LABELS

    prepare_backend()
    from hpa.training.recipe import compiled_networks

    size, batch = params.pack.image_size, params.train.batch_size
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch, size, size, len(CHANNELS)), dtype=np.uint8)
    y = (random.random((batch, len(LABELS))) < 0.1).astype(np.uint8)
    network, model = compiled_networks(params, HPA_2018, size, np.full(len(LABELS), 0.1))
    x = {
        name: images if name == "images" else np.zeros((batch, *tensor.shape[1:]), tensor.dtype)
        for name, tensor in model.input.items()
    }
    for _ in range(2):
        model.train_on_batch(x, y)
    started = time.process_time()
    for _ in range(n_steps):
        model.train_on_batch(x, y)
    step_s = (time.process_time() - started) / n_steps
    return step_s, sum(weight.numpy().nbytes for weight in network.weights)


if __name__ == "__main__":
    main()
