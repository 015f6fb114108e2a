"""Overhead of Optuna and MLflow per trial, as a fraction of a one-minute training.

    python benchmarks/search.py            a minute

Runs trials that train nothing but make every call to Optuna and MLflow: lock the study, suggest,
start a nested run, log and report rounds, report the steps of a minute, ask the pruner, log
thresholds, end. Uses new local stores, with `--before` earlier trials, as TPE and storage slow down
with their number. Prints wall time, which depends on disk and load, and processor time, including
git's.
"""

import argparse
import os
import sys
import time
from contextlib import chdir, suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
from hpa.config.params import Params, load_params

ROOT = Path(__file__).parents[1]
MINUTE_S = 60.0


def main() -> None:
    """Measure trials without training and print their fraction of a minute."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=5, help="trials to measure")
    parser.add_argument("--before", type=int, default=50, help="trials of the study before them")
    arguments = parser.parse_args()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    n = arguments.before + arguments.trials
    params = load_params(ROOT / "params.yaml", {"search.n_trials": n})
    with TemporaryDirectory() as name, chdir(name):
        os.environ["DVC_ROOT"] = name
        seconds = trial_seconds(params, arguments.before)
    for name, each in (("wall", seconds[0]), ("processor", seconds[1])):
        fraction = median(each) / MINUTE_S
        print(f"{name}: {median(each):.2f} s per trial, {fraction:.2%} of a minute")


def trial_seconds(params: Params, n_before: int) -> tuple[list[float], list[float]]:
    """Return wall and processor seconds of each trial after the first `n_before`."""
    import optuna

    from hpa.search.identity import DATA
    from hpa.search.progress import REPORT_S, STEPS
    from hpa.search.space import read_space, suggest, trial_params
    from hpa.search.study import Study, begin_study
    from hpa.search.trial import _nested_run, _pruning
    from hpa.search.worker import work
    from hpa.tracking.stage_run import log_artifacts

    for path in DATA:  # only their digests matter here
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    marks: list[tuple[float, float]] = []

    def bookkeeping(trial: optuna.Trial, study: Study) -> float:
        marks.append(now())
        values = suggest(trial, read_space(study.params), study.params)
        if trial.number < n_before:
            return float(trial.number % 7)
        changed = trial_params(study.params, values)
        with _nested_run(trial, study, changed):
            on_round = _pruning(trial, changed.train.n_steps + 1)
            for step in range(changed.search.trial_rounds):
                metrics = {"train/loss": 1.0, "val/loss": 1.0, "val/macro_f1": trial.number + step}
                with suppress(optuna.TrialPruned):  # measure it to its end
                    on_round(step, metrics)
            for step in range(int(MINUTE_S / REPORT_S)):
                trial.set_user_attr(STEPS, [step, changed.train.n_steps, 1.0])
            Path("thresholds.json").write_text("{}" * 5000)
            log_artifacts([Path("thresholds.json")])
        return float(trial.number)

    study = begin_study(params)
    work(study, bookkeeping)
    marks.append(now())
    pairs = list(zip(marks[n_before:], marks[n_before + 1 :], strict=False))
    wall, processor = ([b[k] - a[k] for a, b in pairs] for k in (0, 1))
    return wall, processor


def now() -> tuple[float, float]:
    """Return wall time and the processor time of this process and its children."""
    return time.perf_counter(), sum(os.times()[:4])


if __name__ == "__main__":
    main()
