"""Make a run again from what it left, and say whether weights and metrics are equal.

    python src/reproduce.py RUN_ID          as long as the run itself, and half a minute

A clone in a temporary folder gets the run's commit, the change to it if there was one, its
parameters and its data, and the stages run there with a tracking store of their own. Exit code 0:
equal bit by bit; 1: something differs. The same processor and the same packages give the same bits.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hpa.config import command_line


def main() -> None:
    """Repeat the run that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_id", metavar="RUN_ID", help="of MLflow, as in reports/metrics.json")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="hpa-reproduce-") as name:
        repeat(arguments.run_id, Path(name) / "clone")


def repeat(run_id: str, clone: Path) -> None:
    """Lay out the run's code and data, run it again, and print how it compares."""
    # These take seconds to load, so not before the command line is known to be right.
    from hpa.tracking import reproduction
    from hpa.tracking.mlflow_store import past_run

    run = past_run(run_id)
    print(f"[1/3] code, parameters and data of run {run.run_id} into {clone}", flush=True)
    reproduction.lay_out(run, clone)
    if reproduction.environment_differs(run, clone):
        print("  note: other packages are locked here than the run had; its bits may differ")
    print("[2/3] the stages again", flush=True)
    again = reproduction.repeat(run, clone)
    print("[3/3] compare", flush=True)
    verdict = reproduction.compare(run, again, clone)
    words = {None: "not known: the run made none", True: "equal", False: "DIFFERENT"}
    print(f"weights: {words[verdict.weights_equal]}")
    n_equal = verdict.n_metrics - len(verdict.metrics)
    print(f"metrics: {n_equal} of {verdict.n_metrics} equal")
    for name, (then, now) in verdict.metrics.items():
        print(f"  {name}: {then} then, {now} now")
    sys.exit(0 if verdict.equal else 1)


if __name__ == "__main__":
    command_line.run(main)
