"""Send the calls that earlier runs kept for the tracking store; end the runs of dead processes.

    python src/sync_runs.py        some seconds

Every stage does the same when it starts. Calls wait for the store and the experiment that were
chosen when they were made; `--here` sends them to those chosen now. After the project's folder was
moved, the registry's champions are registered again at their new place.
"""

import argparse

from hpa.config import command_line
from hpa.errors import UserError


def main() -> None:
    """Send the calls in .tracking_outbox."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--here", action="store_true", help="send all to the store and experiment chosen now"
    )
    arguments = parser.parse_args()

    # Imports that take seconds wait until the command line is checked.
    from hpa.serving.registry import open_registry
    from hpa.tracking.address import public, tracking_uri
    from hpa.tracking.outbox import StoreUnavailableError, refused_calls
    from hpa.tracking.stage_run import outbox_dir, send_kept

    try:
        delivery, closed = send_kept(here=arguments.here)
    except StoreUnavailableError as error:
        raise UserError(
            "the tracking store is unavailable",
            expected=f"a response from {public(tracking_uri())}",
            received=str(error),
            remedy=f"try again later; all calls are kept in {outbox_dir()}",
        ) from error
    print(f"sent the calls of {delivery.n_sent} processes; ended {len(closed)} runs of dead ones")
    for run_id in closed:
        print(f"  KILLED {run_id}")
    for folder, n_calls in refused_calls(outbox_dir()).items():
        print(f"  {n_calls} calls that the store refused lie in {folder}; delete it to forget them")
    with open_registry():
        pass
    if delivery.left:
        raise UserError(
            f"the calls of {len(delivery.left)} processes still wait",
            expected="a store that takes their runs",
            received="; ".join(f"{folder.name}: {why}" for folder, why in delivery.left.items()),
            remedy=f"follow the message and try again; all calls are kept in {outbox_dir()}",
        )


if __name__ == "__main__":
    command_line.run(main)
