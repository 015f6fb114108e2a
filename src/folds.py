"""Train a network per fold, and make one model of them: scored, evaluated and kept as a whole.

    python src/folds.py                       split.n_folds times as long as one training
    python src/folds.py --workers 2           two folds at a time
    python src/folds.py --gamma 1 --output models-gamma-1

split.n_folds of params.yaml says how many. The same command resumes after a stop or a kill:
finished folds are not trained again. Thresholds are fitted to out-of-fold scores, each of a network
that has not seen the image. Expect macro F1 of each fold, out of fold, and of the ensemble on test,
and a model folder: python src/predict.py FOLDER --model models
"""

import os
import shutil
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from experiment import prepare_workspace, run_stage
from hpa.config import command_line
from hpa.config.folders import PACKED_DIR, REPORTS_DIR, SCORES_DIR, SPLIT_DIR
from hpa.config.params import Params, changed_params, load_params, short_key
from hpa.errors import UserError
from hpa.system.backends import prepare_backend
from hpa.system.files import atomic_files, atomic_path, read_json, write_json
from search import update_data

if TYPE_CHECKING:
    from hpa.inference.models import Model

AFTER = ("score", "threshold", "explain", "evaluate")
SECTIONS = ("fetch", "pack", "split", "model", "loss", "augment", "train", *AFTER)
RUN = "run.json"
"""File of the run that all trainings of a folder are nested in."""


def main() -> None:
    """Train the folds that are missing, then score and evaluate all of them."""
    params, arguments = parse()
    prepare_backend(params.train.backend)

    # Imports that take seconds wait until the command line is checked.
    from hpa.search.folds import require_split
    from hpa.tracking.mlflow_run import adopted
    from hpa.tracking.run_place import comparison

    with adopted():
        update_data(params)
        require_split(SPLIT_DIR, params.split.n_folds)
        run_id = run(params, arguments)
    print(
        f"the model is {arguments.output}: python src/predict.py FOLDER --model {arguments.output}"
    )
    print(f"open {arguments.output / REPORTS_DIR / 'report.html'}\n{comparison(run_id)}")


def parse() -> tuple[Params, Namespace]:
    """Read and check the command line."""
    parser = command_line.parser(__doc__, "split", "model", "loss", "augment", "train", *AFTER)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("models"),
        metavar="DIR",
        help="folder of the ensemble (default: models)",
    )
    parser.add_argument(
        "--workers", "--n_workers", type=int, default=1, metavar="N", help="folds trained at once"
    )
    params, arguments = command_line.parse(parser)
    if arguments.workers < 1:
        parser.error("--workers takes 1 or more")
    for key in ("train.fold", "score.models"):
        if key in arguments.overrides:
            parser.error(f"--{key} does not apply: all folds are trained, into --output")
    folder = arguments.output.resolve()
    if folder == Path.cwd() or folder.name in ("data", "model", "scores", "reports"):
        parser.error(f"--output {arguments.output} has the name of a folder of the pipeline")
    if arguments.output.exists() and not arguments.output.is_dir():
        parser.error(f"--output {arguments.output} is a file, not a folder")
    stated = params.split.n_folds
    present = load_params(Path("params.yaml")).split.n_folds
    if stated == 1 or stated != present:
        raise UserError(
            "params.yaml does not say into how many folds the images are split",
            expected="split.n_folds of 2 or more there, 5 say: the split stage makes them",
            received=f"split.n_folds: {present}"
            + (f", but {stated} on the command line" if stated != present else ""),
            remedy="run it without --split.n_folds: python src/folds.py"
            if stated == 1 < present
            else f"set it to {stated if stated > 1 else 5} in params.yaml, then run: "
            "python src/folds.py",
        )
    return params, arguments


def run(params: Params, arguments: Namespace) -> str:
    """Train and evaluate within one run of MLflow; return its id."""
    from hpa.inference.ensemble import fold_dir, write_ensemble
    from hpa.inference.models import BEST, find_models
    from hpa.search.folds import missing_folds, train_folds
    from hpa.tracking.stage_run import log_artifacts, log_metrics, stage_run

    folder, folds = arguments.output, range(params.split.n_folds)
    missing = missing_folds(params, folder, PACKED_DIR, SPLIT_DIR)
    begun = read_json(folder / RUN)["run_id"] if (folder / RUN).is_file() else None
    upstream = os.environ.get("MLFLOW_RUN_ID") or begun
    changed = [f"{short_key(key)}={value}" for key, value in arguments.overrides.items()]
    name = " ".join([f"{len(folds)} folds", *changed])
    with (
        TemporaryDirectory(prefix="hpa-folds-") as temporary,
        stage_run("folds", params, sections=SECTIONS, upstream=upstream, name=name) as run_id,
    ):
        workspace = prepare(Path(temporary), params, folder)
        write_json(folder / RUN, {"run_id": run_id})
        print(f"{len(folds) - len(missing)} of {len(folds)} folds are trained", flush=True)
        if missing:
            file = workspace / "params.yaml"
            train_folds(missing, params, file, folder, run_id, arguments.workers)
        models = [find_models(fold_dir(folder, fold) / BEST)[0] for fold in folds]
        write_ensemble(folder, models, run_id, packed_dir=PACKED_DIR, split_dir=SPLIT_DIR)
        for stage in AFTER:
            run_stage(stage, workspace)
        keep(workspace, folder)
        log_artifacts([folder / "provenance.json", folder / "training_range.json"], "model")
        by_fold = [macro_f1_of(model) for model in models]
        log_metrics({f"fold-{fold}/macro_f1": value for fold, value in enumerate(by_fold)})
    print(summary(by_fold, read_json(folder / "metrics.json")))
    return run_id


def prepare(workspace: Path, params: Params, folder: Path) -> Path:
    """Prepare a folder in which the stages after the training run on all networks."""
    folder.mkdir(parents=True, exist_ok=True)
    name = folder.resolve().name
    (workspace / name).symlink_to(folder.resolve())
    prepare_workspace(workspace, changed_params(params, {"score.models": name}))
    return workspace


def keep(workspace: Path, folder: Path) -> None:
    """Put what the stages made into the folder of the ensemble."""
    from hpa.tracking.model_files import OF_EVALUATION

    for name in (SCORES_DIR, REPORTS_DIR):
        with atomic_path(folder / name, flush=False) as temporary:
            shutil.copytree(workspace / name, temporary)
    with atomic_files(folder) as files:
        for path in OF_EVALUATION:
            shutil.copy(workspace / path, files)


def macro_f1_of(model: "Model") -> float:
    """Return macro F1 of a network on its own val images, by cross-fitted thresholds."""
    from hpa.reports.training_curve import History

    history = History.of("", model.origin)
    return float(history.values("val/macro_f1")[history.kept])


def summary(by_fold: list[float], metrics: dict[str, float]) -> str:
    """Describe macro F1 of the folds, of all out of fold, and of the ensemble on test."""
    from hpa.evaluation.headline_metrics import f1_name

    score = f1_name(int(metrics["test/n_classes"]))
    low, high = (metrics.get(f"test/macro_f1_{end}") for end in ("low", "high"))
    interval = "no interval: too few positives"
    if low is not None and high is not None:
        interval = f"95 % interval {low:.3f} to {high:.3f}"
    own = [f"fold {k}: {score} {value:.3f}, on its own val" for k, value in enumerate(by_fold)]
    out_of_fold = f"out of fold: {score} {metrics['val/macro_f1_cross_fitted']:.3f}, cross-fitted"
    test = f"ensemble on test: {score} {metrics['test/macro_f1']:.3f}, {interval}"
    return "\n".join([*own, out_of_fold, test])


if __name__ == "__main__":
    command_line.run(main)
