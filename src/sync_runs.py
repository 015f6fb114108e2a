"""Send what earlier runs could not tell the tracking store, and end the runs of dead processes.

    python src/sync_runs.py        some seconds

Every stage does the same when it starts; this is for when no stage will.
"""

import argparse

from hpa.config import command_line
from hpa.errors import UserError


def main() -> None:
    """Send what is kept in .tracking_spool."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()

    # These take seconds to load, so not before the command line is known to be right.
    from hpa.tracking.mlflow_store import tracking_uri
    from hpa.tracking.outbox import StoreAwayError
    from hpa.tracking.stage_run import send_kept, spool_dir

    try:
        n_sent, closed = send_kept()
    except StoreAwayError as error:
        raise UserError(
            "the tracking store is away",
            expected=f"an answer from {tracking_uri()}",
            received=str(error),
            remedy=f"try again when it is back; all is kept in {spool_dir()}",
        ) from error
    print(f"sent what {n_sent} processes had kept; ended {len(closed)} runs of dead processes")
    for run_id in closed:
        print(f"  KILLED {run_id}")


if __name__ == "__main__":
    command_line.run(main)
