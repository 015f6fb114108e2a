"""Search for better hyper-parameters with Optuna; each trial is a nested MLflow run.

    python src/search.py                     20 trials of a quarter of a training each, then the
                                             best against the current parameters: six full trainings
    python src/search.py --workers 2 --n_trials 50
    python src/search.py --join --workers 4  more workers for a running study, from any machine
    python src/search.py --scheduler tcp://host:8786      on a Dask cluster that shares these files
    mlflow run . -e search -P n_trials=50

`search.space` of params.yaml is the search space. The same command resumes a study that was stopped
or killed. Expect search/best.yaml, search/report.html and a command that runs the pipeline with the
best parameters. `make dashboard` shows a running study.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import PACKED_DIR, SPLIT_DIR
from hpa.config.inherited import require_same_data
from hpa.config.params import Params, load_params
from hpa.data.packed.record import data_parameters
from hpa.system.backends import prepare_backend

OUTPUT = Path("search")


def main() -> None:
    """Run a study, or join one."""
    parser = command_line.parser(
        __doc__, "model", "loss", "augment", "train", "score", "threshold", "evaluate", "search"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes on this machine (default: 1)"
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="address of a Dask cluster")
    parser.add_argument("--join", action="store_true", help="only run trials of an existing study")
    params, arguments = command_line.parse(parser)
    if arguments.workers is not None and (arguments.scheduler or arguments.workers < 1):
        parser.error("--workers takes 1 or more, and excludes --scheduler")
    if not arguments.join:  # else the study names it
        prepare_backend(params.train.backend)

    # These imports take seconds: check the command line first.
    from hpa.search.launcher import work_here, work_on_cluster
    from hpa.search.storage import storage_url
    from hpa.search.study import Study, load_study

    def work(study: Study) -> None:
        if arguments.scheduler:
            work_on_cluster(study, arguments.scheduler)
        else:
            work_here(study, arguments.workers or 1)

    if arguments.join:
        work(load_study(storage_url(params.search.storage), params.search.study_name))
    else:
        from hpa.tracking.mlflow_run import adopted

        with adopted():
            update_data(params)
            run_study(params, work)


def update_data(params: Params) -> None:
    """Bring the data stages up to date, if this is a DVC repository.

    Raises:
        UserError: the parameters are those of other data.
    """
    if Path("dvc.yaml").is_file():
        require_same_data(params, load_params(Path("params.yaml")).flat(), maker="params.yaml")
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        command = [sys.executable, "-m", "dvc", "repro", "split"]
        if code := subprocess.run(command, env={**os.environ, "PATH": path}).returncode:
            sys.exit(code)
    require_same_data(params, data_parameters(PACKED_DIR, SPLIT_DIR))


def run_study(params: Params, work: Callable[..., None]) -> None:
    """Create or resume a study, confirm its best trial, and report."""
    from hpa.search.study import VALUE, begin_study

    study = begin_study(params)

    say_epochs(params)

    # These imports take more seconds: check the study first.
    from hpa.search.confirmation import as_text, confirm_best
    from hpa.search.notes import write_note
    from hpa.search.report import study_facts, study_page
    from hpa.system.files import atomic_path
    from hpa.tracking.run_place import places
    from hpa.tracking.stage_run import STUDY, log_artifacts, log_metrics, stage_run

    print(f"study {study.name}: {study.n_done()} of {study.n_trials} trials are done", flush=True)
    sections = ("model", "loss", "augment", "train", "score", "threshold", "search")
    upstream = os.environ.get("MLFLOW_RUN_ID") or study.parent_run_id
    name, tags = f"search {study.name}", {STUDY: study.name}
    with stage_run(
        "search", params, sections=sections, upstream=upstream, tags=tags, name=name
    ) as run:
        study.optuna.set_user_attr("run_id", run)
        write_note(study, study_facts(study))
        work(study)
        confirmation = confirm_best(study, work)
        confirmation.write(OUTPUT / "best.yaml")
        with atomic_path(OUTPUT / "report.html") as temporary:
            temporary.write_text(study_page(study, confirmation), encoding="utf-8")
        write_note(study, study_facts(study), as_text(confirmation))
        log_metrics({VALUE: confirmation.value})
        log_artifacts([OUTPUT / "best.yaml", OUTPUT / "report.html"], "search")
    print(as_text(confirmation))
    print(f"parameters: {OUTPUT}/best.yaml\nreport: {OUTPUT}/report.html\ntrials: make dashboard")
    print(places(run, "search/report.html"))


def say_epochs(params: Params) -> None:
    """Print the steps and epochs of a trial and of a confirming training; warn if they are few."""
    from hpa.training.epochs import planned_epochs

    epochs, full = planned_epochs(params, PACKED_DIR, SPLIT_DIR), params.train.n_steps
    steps, key = params.search.trial_steps, "search.trial_steps"
    print(
        f"a trial: {epochs.describe(steps or full)}\nto confirm the best: {epochs.describe(full)}"
    )
    warnings = (
        epochs.warning(steps, key, few=1) if steps else None,  # a trial only ranks parameters
        epochs.warning(full, "train.n_steps"),
    )
    for warning in filter(None, warnings):
        print(warning, file=sys.stderr, flush=True)


if __name__ == "__main__":
    command_line.run(main)
