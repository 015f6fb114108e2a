"""Open the runs in MLflow's page: sorted by macro F1, with gamma, alpha and learning rate.

    python src/ui.py                 at http://127.0.0.1:5000, or the next free port
    python src/ui.py --port 5050

The page is up after ten seconds and opens in the browser, if this machine has one. Ctrl-C ends it.
If MLFLOW_TRACKING_URI names a server, its address is printed, and no other server is started.
"""

import argparse
import time

from hpa.config import command_line


def main() -> None:
    """Serve the store until interrupted; open its page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, metavar="N", help="refuse any other port")
    arguments = parser.parse_args()

    # These imports take seconds: check the command line first.
    from hpa.tracking.address import public, tracking_uri
    from hpa.tracking.runs_server import SERVERS, free_port, open_browser, serve_runs
    from hpa.tracking.views import page, shown_experiments

    experiments, uri = shown_experiments(int(1000 * time.time())), tracking_uri()

    def show(server: str) -> None:
        for each, name in experiments.items():
            print(f"runs of {name}: {server}{page(each)}", flush=True)
        open_browser(server + page(next(iter(experiments))))

    if uri.startswith(SERVERS):
        show(public(uri).rstrip("/"))
        return
    try:
        with serve_runs(uri, free_port(arguments.port)) as (url, server):
            show(url)
            print("Ctrl-C ends the server", flush=True)
            server.wait()
    except KeyboardInterrupt:
        print("the server has ended")


if __name__ == "__main__":
    command_line.run(main)
