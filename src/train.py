"""Train a ResNet-34 on the train images; keep the weights that are best on val.

    python src/train.py            a quarter of an hour on two cores with the default parameters
    python src/train.py --gamma 1 --output /tmp/other
    python src/train.py --checkpoints    list the unfinished trainings, and train nothing
    python src/train.py --backend jax    with JAX, installed by you

Expect the validation loss to fall from the first round on. The model folder holds the best and
the last weights, the history, and their provenance. The same command resumes a training that was
stopped.
"""

from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import MODEL_DIR, PACKED_DIR, SPLIT_DIR
from hpa.config.inherited import require_same_data
from hpa.data.packed.record import data_parameters
from hpa.system.backends import prepare_backend
from hpa.system.dvc_outputs import restore_outputs
from hpa.system.files import atomic_files, write_json
from hpa.tracking.lineage import lineage

DATA = [PACKED_DIR / "manifest.json", PACKED_DIR / "index.csv", SPLIT_DIR / "assignment.csv"]


def main() -> None:
    """Train on data/packed with data/split."""
    restore_outputs("train")
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
    params, arguments = command_line.parse(parser)
    prepare_backend(params.train.backend)

    # Imports that take seconds wait until the command line is checked.
    from hpa.data.packed.training_range import measure_training_images
    from hpa.tracking.stage_run import log_artifacts, log_metrics, log_tags, stage_run
    from hpa.training.checkpoints import Checkpoints, checkpoints_root
    from hpa.training.epochs import planned_epochs
    from hpa.training.loop import fit
    from hpa.training.provenance import checkpoint_key, model_provenance, write_provenance
    from hpa.training.unfinished import listing, summary

    model_dir: Path = arguments.output
    root, key = checkpoints_root(), checkpoint_key(params, DATA)
    if arguments.checkpoints:
        print(listing(root, key))
        return
    made_with = data_parameters(PACKED_DIR, SPLIT_DIR)
    require_same_data(params, made_with)
    unfinished = Checkpoints(root, key)
    if others := summary(root, unfinished.folder):
        print(others, flush=True)
    sections = ("fetch", "pack", "split", "model", "loss", "augment", "train")
    stage = stage_run("train", params, sections=sections)
    with unfinished.held(), stage as run_id:
        with atomic_files(model_dir) as folder:
            best_sha256 = fit(
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
            origin = model_provenance(
                params,
                run_id=run_id,
                weights_sha256=best_sha256,
                inputs=DATA,
                lineage=lineage(),
                made_with=made_with,
            )
            epochs = planned_epochs(params, PACKED_DIR, SPLIT_DIR).of(params.train.n_steps)
            write_provenance(folder, {**origin, "n_epochs": round(epochs, 2)})
            seen = measure_training_images(PACKED_DIR, SPLIT_DIR, params.train.fold)
            measured_for = {"weights_sha256": best_sha256}
            write_json(folder / "training_range.json", measured_for | seen.to_json())
        names = ("best.keras", "history.csv", "provenance.json", "training_range.json")
        log_artifacts([model_dir / name for name in names], "model")
    print(f"the model is in {model_dir}, its run is {run_id}")


if __name__ == "__main__":
    command_line.run(main)
