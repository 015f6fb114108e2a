"""Repeat a run and report whether weights and metrics are equal.

    python src/reproduce.py RUN_ID          as long as the run itself, plus half a minute

A clone in a temporary folder gets the run's commit, the patch to it if there was one, its
parameters and its data. The stages run there with a tracking store of their own. Exit code 0: equal
bit by bit; 1: something differs. The same processor and the same packages give the same bits.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hpa.config import command_line
from hpa.tracking.run_ids import full_run_id


def main() -> None:
    """Repeat the run named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "run_id",
        metavar="RUN_ID",
        help="of MLflow, as in reports/metrics.json, or its first characters",
    )
    arguments = parser.parse_args()
    run_id = full_run_id(arguments.run_id)
    with TemporaryDirectory(prefix="hpa-reproduce-") as name:
        repeat(run_id, Path(name) / "clone")


def repeat(run_id: str, clone: Path) -> None:
    """Clone the run's code and data, run its stages, and print the comparison."""
    # Imports that take seconds wait until the command line and the run are checked.
    from hpa.tracking import reproduction
    from hpa.tracking.mlflow_store import past_run

    run = past_run(run_id)
    print(f"[1/3] clone code, parameters and data of run {run.run_id} to {clone}", flush=True)
    reproduction.prepare_clone(run, clone)
    if reproduction.environment_differs(run, clone):
        print("  note: this repository locks other packages than the run used; bits may differ")
    print("[2/3] run the stages", flush=True)
    again = reproduction.repeat(run, clone)
    print("[3/3] compare", flush=True)
    verdict = reproduction.compare(run, again, clone)
    words = {None: "unknown: the run has none", True: "equal", False: "DIFFERENT"}
    print(f"weights: {words[verdict.weights_equal]}")
    n_equal = verdict.n_metrics - len(verdict.metrics)
    print(f"metrics: {n_equal} of {verdict.n_metrics} equal")
    for name, (then, now) in verdict.metrics.items():
        print(f"  {name}: {then} then, {now} now")
    sys.exit(0 if verdict.equal else 1)


if __name__ == "__main__":
    command_line.run(main)
