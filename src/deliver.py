"""Send what earlier runs could not tell the tracking store, and end the runs of dead processes.

    python src/deliver.py          some seconds

Every stage does the same when it starts; this is for when no stage will.
"""

import argparse

from hpa import command_line
from hpa.errors import UserError


def main() -> None:
    """Send what is kept in .tracking_spool."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()

    # These take seconds to load, so not before the command line is known to be right.
    from hpa import run_store, tracking
    from hpa.spool import StoreAwayError

    try:
        n_sent, closed = tracking.send_kept()
    except StoreAwayError as error:
        raise UserError(
            "the tracking store is away",
            expected=f"an answer from {run_store.tracking_uri()}",
            received=str(error),
            remedy=f"try again when it is back; all is kept in {tracking.spool_dir()}",
        ) from error
    print(f"sent what {n_sent} processes had kept; ended {len(closed)} runs of dead processes")
    for run_id in closed:
        print(f"  KILLED {run_id}")


if __name__ == "__main__":
    command_line.run(main)
