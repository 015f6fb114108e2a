"""Compare two runs by a paired bootstrap on the same test images.

    python src/compare.py RUN_A RUN_B          some seconds; no model is run
    python src/compare.py RUN_A reports --json difference.json

A run is an MLflow run id or its first characters, a folder that evaluate wrote (reports), or its
test_predictions.npz.
Expect the difference in macro F1 with its 95% interval, the probability that B is better, and one
row per class. Runs with different test images, labels or groups are rejected.
"""

import os.path
from pathlib import Path

from hpa.config import command_line
from hpa.system.files import write_json
from hpa.tracking.run_ids import full_run_id

OR_ELSE = "; or a folder that evaluate wrote, or its test_predictions.npz"


def main() -> None:
    """Compare two evaluated runs."""
    parser = command_line.parser(__doc__, "evaluate")
    parser.usage = "%(prog)s RUN_A RUN_B [--json FILE] [--n_bootstrap N] [--evaluate.seed SEED]"
    parser.add_argument(
        "run_a", metavar="RUN_A", help="MLflow run id, folder or test_predictions.npz"
    )
    parser.add_argument("run_b", metavar="RUN_B", help="like RUN_A")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    params, arguments = command_line.parse(parser)
    runs = [
        run if os.path.exists(run) else full_run_id(run, or_else=OR_ELSE)  # noqa: PTH110
        for run in (arguments.run_a, arguments.run_b)
    ]

    # Import late: this takes seconds, and a wrong command line or run should fail at once.
    from hpa.evaluation.paired_bootstrap import compare
    from hpa.evaluation.test_predictions import check_same_data
    from hpa.reports.run_comparison import as_json, as_text, find_predictions

    a, b = check_same_data(*map(find_predictions, runs))
    settings = params.evaluate
    comparison = compare(
        a.y_true, a.groups, a.y_pred, b.y_pred, a.labels, settings.seed, settings.n_bootstrap
    )
    if arguments.json:
        write_json(arguments.json, as_json(comparison, a, b))
    print(as_text(comparison, *runs))


if __name__ == "__main__":
    command_line.run(main)
