"""Take the screenshots of docs/ in a headless Chromium, of each page at 1440 and at 390 pixels.

    python docs/screenshots.py            some minutes: all of them
    python docs/screenshots.py app        the web page alone; or: report, tracking, search,
                                          microscope
    python docs/screenshots.py app --model /tmp/model --output /tmp
    python docs/screenshots.py tracking --store sqlite:////tmp/other/mlflow.db

Needs Chromium (Debian: apt-get install chromium). `NAME.png` is the page of a wide screen,
`NAME-phone.png` that of a phone. `report` shows report.html, model_card.html and, after
python src/quality.py, quality.html in reports/. `app` shows the model in model/, `search` the study
in optuna.db after python src/search.py, `microscope` the plate of docs/microscope.md after its
commands, `tracking` the table of runs, the charts, and three runs of
mlflow.db with different values of gamma:
dvc exp run --queue -S 'loss.gamma=1,2,4' && dvc exp run --run-all
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from mlflow import MlflowClient
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from hpa.tracking.views import ROUNDS, SEARCH, TRAINING, add_views  # noqa: E402
from hpa.tracking.views import page as runs_page  # noqa: E402

PARTS = ("report", "tracking", "search", "app", "microscope")
PLATE = ROOT / "own/plate7"
DESK, LAPTOP, PHONE = (
    {"width": width, "height": height} for width, height in ((1440, 900), (1366, 850), (390, 844))
)
WIDTHS = {"": DESK, "-phone": PHONE}
"""Viewport by the end of a picture's name."""
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def main() -> None:
    """Take the screenshots that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}")
    parser.add_argument("--store", default=f"sqlite:///{ROOT}/mlflow.db", metavar="URI")
    parser.add_argument("--storage", default=f"sqlite:///{ROOT}/optuna.db", metavar="URI")
    parser.add_argument("--report", type=Path, default=ROOT / "search/report.html", metavar="FILE")
    parser.add_argument("--reports", type=Path, default=ROOT / "reports", metavar="DIR")
    parser.add_argument("--model", default=str(ROOT / "model"), metavar="FOLDER")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", metavar="DIR")
    parser.add_argument("--chromium", default="/usr/bin/chromium", metavar="FILE")
    arguments = parser.parse_args()
    parts = arguments.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"error: unknown part {', '.join(unknown)}: expected any of {', '.join(PARTS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=CHROMIUM)
        if "report" in parts:
            photograph_all(browser, report_pages(arguments.reports), arguments.output)
        if "tracking" in parts:
            photograph_tracking(browser, arguments.store, arguments.output)
        if "search" in parts:
            photograph_search(browser, arguments)
        if "app" in parts:
            photograph_app(browser, arguments.model, arguments.output)
        if "microscope" in parts:
            photograph_microscope(browser, arguments.model, arguments.output)


def report_pages(folder: Path) -> list[tuple[str, str, str]]:
    """Return name, address and a text to wait for of each page in reports/."""
    wanted = {
        "report": "Results by class",
        "model_card": "Intended use",
        "quality": "Duplicates",
    }
    found = {name: folder.resolve() / f"{name}.html" for name in wanted}
    return [
        (name.replace("_", "-"), path.as_uri(), wanted[name])
        for name, path in found.items()
        if path.is_file()
    ]


def photograph_tracking(browser: Browser, store: str, output: Path) -> None:
    """Photograph MLflow with three runs."""
    client = MlflowClient(store)
    runs = three_gammas(client)
    experiment = client.get_run(runs[0]).info.experiment_id
    add_views(client, experiment, int(1000 * time.time()))
    with serve(mlflow_ui(store), "health") as url:
        photograph_all(browser, pages(url, experiment, runs), output)
        for end, viewport in WIDTHS.items():
            page = browser.new_page(viewport=viewport)
            open_page(page, compare_page(url, experiment, runs), "loss.gamma")
            page.get_by_role("tab", name="Scatter Plot").click()
            page.wait_for_timeout(3000)
            photograph(page, output / f"tracking-scatter{end}.png")
            page.get_by_text("Show diff only").first.scroll_into_view_if_needed()
            photograph(page, output / f"tracking-compare-table{end}.png")


def photograph_search(browser: Browser, arguments: argparse.Namespace) -> None:
    """Photograph a study: report, dashboard and runs."""
    with (
        serve(mlflow_ui(arguments.store), "health") as mlflow,
        serve(optuna_dashboard(arguments.storage), "dashboard") as dashboard,
    ):
        wanted = [
            ("search-report", arguments.report.resolve().as_uri(), "History"),
            ("search-dashboard", f"{dashboard}/dashboard/studies/1", "Best Trial"),
        ]
        photograph_all(browser, wanted, arguments.output)
        client, experiment = MlflowClient(arguments.store), experiment_of(arguments.store)
        add_views(client, experiment, int(1000 * time.time()))
        runs = [("search-runs", mlflow + runs_page(experiment, SEARCH), "matching runs")]
        photograph_all(browser, runs, arguments.output)


def photograph_all(browser: Browser, wanted: list[tuple[str, str, str]], output: Path) -> None:
    """Photograph pages, each given by name, address and a text to wait for."""
    for end, viewport in WIDTHS.items():
        page = browser.new_page(viewport=viewport)
        for name, address, text in wanted:
            open_page(page, address, text)
            photograph(page, output / f"{name}{end}.png")


def photograph_app(browser: Browser, model: str, output: Path) -> None:
    """Photograph the web page on a laptop and on a phone."""
    with serve_app(model) as url:
        laptop, phone = browser.new_page(viewport=LAPTOP), browser.new_page(viewport=PHONE)
        for page, name, show in (
            (laptop, "laptop", show_map),
            (laptop, "flags", show_flags),
            (laptop, "batch", show_batch),
            (phone, "phone", show_map),
        ):
            page.goto(url, timeout=120_000)
            show(page)
            page.wait_for_timeout(500)
            path = output / f"app-{name}.jpg"  # of noisy images, a fifth of the bytes of PNG
            page.screenshot(path=path, quality=88)
            print(path)


def photograph_microscope(browser: Browser, model: str, output: Path) -> None:
    """Photograph what an inspection shows of a plate, and one of its files in the web page."""
    page = browser.new_page(viewport=DESK)
    open_page(page, PLATE.with_suffix(".html").as_uri(), "params.yaml")
    photograph(page, output / "microscope-look.png")
    with serve_app(model) as url:
        page = browser.new_page(viewport=LAPTOP)
        page.goto(url, timeout=120_000)
        page.locator("#one-files").set_input_files(PLATE / "plate7_A02_f1.ome.tif")
        page.locator("#one-predict").click()
        page.locator("#labels button").first.click(timeout=60_000)
        page.evaluate("document.getElementById('result').scrollIntoView()")
        page.wait_for_timeout(500)
        photograph(page, output / "microscope-page.jpg")


def show_map(page: Page) -> None:
    """Predict a sample image and show the region of its most probable label."""
    page.get_by_role("button", name="Mitochondria").click()
    page.locator("#labels button").first.click(timeout=60_000)
    page.evaluate("document.getElementById('result').scrollIntoView()")


def show_flags(page: Page) -> None:
    """Predict the sample image with swapped channels."""
    page.get_by_role("button", name="With a fault").click()
    page.locator("#result").wait_for(timeout=60_000)


def show_batch(page: Page) -> None:
    """Predict all sample images at once."""
    page.get_by_role("tab", name="Many images").click()
    page.get_by_role("button", name="Try it with the simulated images").click()
    page.locator("#many-csv").wait_for(timeout=60_000)


@contextmanager
def serve_app(model: str) -> Iterator[str]:
    """Run src/app.py on a free port."""
    command = [sys.executable, str(ROOT / "src/app.py"), "--model", model, "--port", "0"]
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert server.stdout is not None
    try:
        for line in server.stdout:
            if found := re.search(r"http://\S+", line):
                yield found[0]
                return
        sys.exit(f"error: the web page did not start; run: {' '.join(command)}")
    finally:
        server.terminate()
        server.wait()


def experiment_of(store: str) -> str:
    """Return the id of the experiment that the project's runs are in."""
    found = MlflowClient(store).get_experiment_by_name("hpa")
    if found is None:
        sys.exit(f"error: expected an experiment hpa in {store}; run the pipeline first")
    return str(found.experiment_id)


def three_gammas(client: MlflowClient) -> list[str]:
    """Return the newest runs with three values of loss.gamma, all of one experiment."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    finished = "attributes.status = 'FINISHED' AND metrics.`test/macro_f1` > 0"
    found: dict[str, dict[str, str]] = {}
    for run in client.search_runs(experiments, finished):
        gammas = found.setdefault(run.info.experiment_id, {})
        gammas.setdefault(run.data.params.get("loss.gamma", ""), run.info.run_id)
        gammas.pop("", None)
        if len(gammas) == 3:
            return list(gammas.values())
    sys.exit("error: expected finished runs with three values of loss.gamma; see --help")


def pages(url: str, experiment: str, runs: list[str]) -> list[tuple[str, str, str]]:
    """Return name, address and a text to wait for of each page."""
    run = f"{url}/#/experiments/{experiment}/runs/{runs[0]}?{TRAINING}"
    return [
        ("tracking-table", url + runs_page(experiment), "Runs by macro F1"),
        ("tracking-charts", url + runs_page(experiment, ROUNDS), "Charts of a round"),
        ("tracking-compare", compare_page(url, experiment, runs), "loss.gamma"),
        ("tracking-run", run, "About this run"),
    ]


def compare_page(url: str, experiment: str, runs: list[str]) -> str:
    """Return the address at which MLflow compares runs."""
    named = f"runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([experiment]))}"
    return f"{url}/#/compare-runs?{named}&{TRAINING}"


def open_page(page: Page, url: str, wanted: str) -> None:
    """Open a page, wait for a text, and make room: a phone shows MLflow without its side panes."""
    page.goto("about:blank")
    page.goto(url)
    page.get_by_text(wanted).first.wait_for(state="attached", timeout=60_000)
    assistant = page.get_by_role("button", name="Close")
    if assistant.count():
        assistant.first.click()
    sidebar = page.get_by_role("button", name="Toggle sidebar")
    if page.viewport_size == PHONE and sidebar.count():
        sidebar.first.click()
    with suppress(TimeoutError):
        page.wait_for_load_state("networkidle", timeout=30_000)
    page.wait_for_timeout(3000)  # charts are drawn after their titles


def photograph(page: Page, path: Path) -> None:
    """Save the visible part of a page."""
    page.screenshot(path=path)
    print(path)


def mlflow_ui(store: str) -> list[str]:
    """Return the command that serves the runs of a store."""
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1"]
    return [*command, "--backend-store-uri", store]


def optuna_dashboard(storage: str) -> list[str]:
    """Return the command that serves the studies of a storage."""
    return [str(Path(sys.executable).parent / "optuna-dashboard"), storage]


@contextmanager
def serve(command: list[str], first: str) -> Iterator[str]:
    """Run a server on a free port for the block, once its page `first` responds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{first}", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
