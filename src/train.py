"""Train a ResNet-34 on the train images; keep the weights that are best on val.

    python src/train.py            a quarter of an hour on two cores with the default parameters
    python src/train.py --gamma 1 --output /tmp/other
    python src/train.py --checkpoints    list the unfinished trainings, and train nothing
    python src/train.py --backend jax    with JAX, installed by you

Expect the validation loss to fall from the first round on. The model folder holds the best and
the last weights, the history, and their provenance. The same command resumes a training that was
stopped.
"""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpa.config import command_line
from hpa.config.folders import MODEL_DIR, PACKED_DIR, SPLIT_DIR
from hpa.config.inherited import require_same_data
from hpa.config.params import Params
from hpa.data.packed.record import data_parameters
from hpa.data.packed.vocabulary import FILE_NAME, read_vocabulary
from hpa.system.backends import prepare_backend
from hpa.system.dvc_outputs import restore_outputs
from hpa.system.files import atomic_files, write_json
from hpa.system.workers import end_with_parent
from hpa.tracking.lineage import lineage

if TYPE_CHECKING:
    from hpa.training.checkpoints import Checkpoints

DATA = [
    *(PACKED_DIR / name for name in ("manifest.json", "index.csv", FILE_NAME)),
    SPLIT_DIR / "assignment.csv",
]
SECTIONS = ("fetch", "pack", "split", "model", "loss", "augment", "train")
LOGGED = ("history.csv", "provenance.json", "training_range.json")


def main(argv: list[str] | None = None) -> None:
    """Train on data/packed with data/split."""
    restore_outputs("train")
    params, arguments = parse(argv)
    if arguments.parent:
        end_with_parent()
    prepare_backend(params.train.backend)

    # Import late, here and below: this takes seconds, and a wrong command line should fail at once.
    from hpa.system.devices import device_in_use
    from hpa.tracking.stage_run import log_artifacts, log_tags, log_weights, stage_run
    from hpa.tracking.views import MADE_BY
    from hpa.training.checkpoints import Checkpoints, checkpoints_root
    from hpa.training.provenance import checkpoint_key
    from hpa.training.recipe import require_known_labels
    from hpa.training.start import require_kept, start_tags, started_from
    from hpa.training.unfinished import listing, summary

    require_kept(params.model.weights, arguments.output)
    root, key = checkpoints_root(), checkpoint_key(params, DATA)
    if arguments.checkpoints:
        print(listing(root, key))
        return
    require_same_data(params, data_parameters(PACKED_DIR, SPLIT_DIR))
    vocabulary = read_vocabulary(PACKED_DIR)
    require_known_labels(params, vocabulary.labels)
    if origin := started_from(params, vocabulary):
        print(f"starting from {origin['source']}: {origin['taken']}", flush=True)
    unfinished, model_dir = Checkpoints(root, key), arguments.output
    if others := summary(root, unfinished.folder):
        print(others, flush=True)
    nested: dict[str, Any] = {}
    if parent := arguments.parent:
        name = f"fold {params.train.fold} of {params.split.n_folds}"
        nested = {"parent": parent, "name": name, "tags": {MADE_BY: f"folds of {parent[:8]}"}}
    stage = stage_run("train", params, sections=SECTIONS, **nested)
    with unfinished.held(), stage as run_id:
        if origin:
            log_tags(start_tags(origin))
        with atomic_files(model_dir) as folder:
            weights_sha256 = train(params, folder, unfinished, run_id)
            tags = describe(params, folder, weights_sha256, run_id)
        log_tags({"device": device_in_use(), **tags})
        log_artifacts([model_dir / name for name in LOGGED], "model")
        log_weights(model_dir / "best.keras")
    print(f"the model is in {model_dir}, its run is {run_id}")


def parse(argv: list[str] | None) -> tuple[Params, Namespace]:
    """Read the parameters and the options of the command line."""
    parser = command_line.parser(__doc__, "model", "loss", "augment", "train")
    parser.add_argument(
        "--output",
        type=Path,
        default=MODEL_DIR,
        metavar="DIR",
        help="write the model here (default: model)",
    )
    parser.add_argument(
        "--checkpoints", action="store_true", help="list unfinished trainings, and train nothing"
    )
    parser.add_argument(
        "--parent",
        metavar="RUN_ID",
        help="nest the run in this one, and end with the process that starts the training",
    )
    return command_line.parse(parser, argv)


def train(params: Params, folder: Path, unfinished: "Checkpoints", run_id: str) -> str:
    """Train, or resume an unfinished training; return the SHA-256 of the best weights."""
    from hpa.tracking.stage_run import log_metrics, log_tags
    from hpa.training.loop import fit

    return fit(
        params,
        packed_dir=PACKED_DIR,
        split_dir=SPLIT_DIR,
        model_dir=folder,
        on_round=lambda step, metrics: log_metrics(metrics, step),
        checkpoints=unfinished,
        on_resume=lambda checkpoint: log_tags(
            {"resumed.run_id": checkpoint.run_id, "resumed.step": str(checkpoint.step)}
        ),
        run_id=run_id,
    )


def describe(params: Params, folder: Path, weights_sha256: str, run_id: str) -> dict[str, str]:
    """Write the provenance of the weights, and the range of the images that they have seen.

    Returns:
        Tags of the run that describe its images.
    """
    from hpa.data.packed.training_range import measure_training_images
    from hpa.training.epochs import planned_epochs
    from hpa.training.provenance import image_tags, model_provenance, write_provenance

    made_with = data_parameters(PACKED_DIR, SPLIT_DIR)
    origin = model_provenance(
        params,
        run_id=run_id,
        weights_sha256=weights_sha256,
        inputs=DATA,
        vocabulary=read_vocabulary(PACKED_DIR),
        lineage=lineage(),
        made_with=made_with,
    )
    epochs = planned_epochs(params, PACKED_DIR, SPLIT_DIR).of(params.train.n_steps)
    write_provenance(folder, {**origin, "n_epochs": round(epochs, 2)})
    seen = measure_training_images(PACKED_DIR, SPLIT_DIR, params.train.fold)
    write_json(folder / "training_range.json", {"weights_sha256": weights_sha256} | seen.to_json())
    return image_tags(made_with, seen.pixel_sizes)


if __name__ == "__main__":
    command_line.run(main)
