"""Send the calls that earlier runs kept for the tracking store; end the runs of dead processes.

    python src/sync_runs.py        some seconds

Every stage does the same when it starts.
"""

import argparse

from hpa.config import command_line
from hpa.errors import UserError


def main() -> None:
    """Send the calls in .tracking_outbox."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()

    # Imports that take seconds wait until the command line is checked.
    from hpa.tracking.mlflow_store import tracking_uri
    from hpa.tracking.outbox import StoreUnavailableError
    from hpa.tracking.stage_run import outbox_dir, send_kept

    try:
        n_sent, closed = send_kept()
    except StoreUnavailableError as error:
        raise UserError(
            "the tracking store is unavailable",
            expected=f"a response from {tracking_uri()}",
            received=str(error),
            remedy=f"try again later; all calls are kept in {outbox_dir()}",
        ) from error
    print(f"sent the calls of {n_sent} processes; ended {len(closed)} runs of dead processes")
    for run_id in closed:
        print(f"  KILLED {run_id}")


if __name__ == "__main__":
    command_line.run(main)
