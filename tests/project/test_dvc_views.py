"""DVC's own commands on the project's metrics, parameters and plots: what they show at once.

One short stage stands in for training and evaluation; all that DVC shows is the repository's own:
dvc.yaml's metrics and plots, the templates and the page in .dvc/, and the targets of the Makefile.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser

from hpa.vocabulary.hpa2018 import LABELS
from support.browsers import needs_chromium
from support.paths import ROOT

pytestmark = pytest.mark.slow
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
TABLES = ["model/history.csv", "reports/classes.csv", "reports/false_predictions.csv"]
TABLES += ["reports/reliability.csv"]
GIT = "git -c user.name=t -c user.email=t@example.org"
STAGE = f"""
import json, pathlib, numpy as np, pandas as pd, yaml
gamma = yaml.safe_load(open("params.yaml"))["loss"]["gamma"]
labels, better = {LABELS.names!r}, gamma / 10
for name in ("model", "reports"):
    pathlib.Path(name).mkdir(exist_ok=True)
steps = np.arange(1, 5)
pd.DataFrame({{"step": 160 * steps, "train/loss": 0.1 / steps, "val/loss": 0.2 / steps,
    "val/macro_f1": better + 0.1 * steps, "val/macro_f1_optimistic": better + 0.12 * steps}}
    ).to_csv("model/history.csv", index=False)
f1 = better + np.linspace(0.1, 0.6, 28)
absent = np.where(np.arange(28) == 3, np.nan, 0)
pd.DataFrame({{"label": labels, "f1": f1, "f1_low": f1 - 0.05 + absent, "f1_high": f1 + 0.05,
    "threshold": f1, "threshold_low": f1 - 0.05, "threshold_high": f1 + 0.05}}
    ).to_csv("reports/classes.csv", index=False)
pd.DataFrame({{"predicted": [0.1, 0.5, 0.9], "observed": [0.2, 0.5 + better, 0.9]}}
    ).to_csv("reports/reliability.csv", index=False)
pd.DataFrame([{{"true_label": row, "predicted_label": column,
    "percent": np.nan if row == column else 10 * gamma}} for row in labels for column in labels]
    ).to_csv("reports/false_predictions.csv", index=False)
json.dump({{"run_id": "a" * 32, "test/macro_f1": 0.3 + better, "test/macro_f1_low": 0.2,
    "test/macro_f1_high": 0.7, "test/micro_f1": 0.4, "val/macro_f1_cross_fitted": 0.3}},
    open("reports/metrics.json", "w"))
"""


def command(folder: Path, line: str) -> str:
    """Run a command line in a folder; return its stdout."""
    path = f"{ROOT}/.venv/bin:/usr/local/bin:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={"PATH": path, "HOME": os.environ.get("HOME", str(folder))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which nothing has run."""
    folder = tmp_path_factory.mktemp("fresh") / "hpa"
    for name in ("config", "plots.html", "plots", ".gitignore"):
        source, target = ROOT / ".dvc" / name, folder / ".dvc" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    for name in ("params.yaml", ".gitignore", ".dvcignore", "Makefile"):
        shutil.copy(ROOT / name, folder)
    (folder / "stage.py").write_text(STAGE)
    stage = {
        "cmd": "python stage.py",
        "deps": ["stage.py"],
        "params": ["loss", "train"],
        "outs": TABLES,
        "metrics": PIPELINE["stages"]["evaluate"]["metrics"],
    }
    document = {"stages": {"evaluate": stage}, "plots": PIPELINE["plots"]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    command(folder, f"git init -q && git add --all && {GIT} commit -qm code")
    return folder


@pytest.fixture(scope="module")
def compared(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the documented first commit of its results, and one experiment."""
    folder = tmp_path_factory.mktemp("compared") / "hpa"
    shutil.copytree(fresh, folder)
    said = command(folder, "dvc repro && dvc repro && dvc status")
    assert said.count("Running stage") == 1
    command(folder, first_commit())
    assert not command(folder, "git status --porcelain")
    command(folder, "dvc exp run -S loss.gamma=4")
    return folder


def first_commit() -> str:
    """Return the commands that docs/experiments.md tells to give after the first `make repro`."""
    text = (ROOT / "docs/experiments.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("git ")]
    assert "dvc.lock" in lines[0]
    return f"{lines[0]} && {lines[1].replace('git', GIT, 1)}"


def test_metrics_and_parameters_of_an_experiment_are_compared_with_head(compared: Path) -> None:
    diff = json.loads(command(compared, "dvc metrics diff --json"))["reports/metrics.json"]
    assert diff == {"test/macro_f1": {"old": 0.5, "new": 0.7, "diff": pytest.approx(0.2)}}
    diff = json.loads(command(compared, "dvc params diff --json"))["params.yaml"]
    assert {key: (each["old"], each["new"]) for key, each in diff.items()} == {"loss.gamma": (2, 4)}


def test_a_clone_without_the_cache_knows_the_committed_metrics(
    compared: Path, tmp_path: Path
) -> None:
    command(tmp_path, f"git clone -q {compared} clone")
    (tmp_path / "clone/reports/metrics.json").write_text('{"test/macro_f1": 0.75}')
    diff = json.loads(command(tmp_path / "clone", "dvc metrics diff --json"))
    assert diff["reports/metrics.json"]["test/macro_f1"] == {"old": 0.5, "new": 0.75, "diff": 0.25}
    assert "test/macro_f1" in command(tmp_path / "clone", "make -o setup experiments")


def test_make_experiments_shows_at_most_twelve_columns_with_the_best_first(compared: Path) -> None:
    command(compared, "dvc exp run --temp -S loss.gamma=1")
    table = command(compared, "make -o setup experiments ARGS=--md")
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line
    ]
    assert header[:5] == [
        "Experiment", "Created", "test/macro_f1", "test/macro_f1_low", "test/macro_f1_high",
    ]  # fmt: skip
    assert {"loss.name", "loss.gamma", "loss.alpha", "train.learning_rate"} <= set(header)
    assert len(header) <= 12
    gamma = header.index("loss.gamma")
    assert [row[gamma] for row in rows] == ["4", "2", "4", "1"]  # workspace, HEAD, experiments
    assert "…" not in command(compared, "make -o setup experiments")  # no column is cut


def test_make_experiments_works_before_anything_has_run(fresh: Path) -> None:
    table = command(fresh, "make -o setup experiments ARGS=--md")
    assert "workspace" in table
    assert "loss.gamma" in table


def plots_page(folder: Path, what: str) -> Path:
    return Path(command(folder, f"dvc plots {what}").strip().removeprefix("file://"))


def read_page(browser: Browser, path: Path, width: int) -> tuple[list[str], list[str], int]:
    """Open a page without a network; return the texts of its plots, its errors and its width."""
    context = browser.new_context(viewport={"width": width, "height": 850}, offline=True)
    page, errors = context.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(path.as_uri())
    page.wait_for_function(
        f"document.querySelectorAll('svg.marks').length == {len(PIPELINE['plots'])}"
    )
    texts: list[Any] = page.locator("svg.marks").all_text_contents()
    shown: int = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    return texts, errors, shown


@needs_chromium
@pytest.mark.parametrize("width", [1366, 390])
@pytest.mark.parametrize(("what", "revisions"), [("show", []), ("diff", ["workspace", "HEAD"])])
def test_plots_fit_the_screen_offline_with_titles_units_and_a_colour_per_revision(
    browser: Browser, compared: Path, what: str, revisions: list[str], width: int
) -> None:
    texts, errors, shown = read_page(browser, plots_page(compared, what), width)
    assert errors == []
    assert shown <= width
    for text, plot in zip(texts, PIPELINE["plots"], strict=True):
        ((_, settings),) = plot.items()
        wanted = [settings[part] for part in ("title", "x_label", "y_label") if part in settings]
        assert [each for each in (*wanted, *revisions) if each not in text] == []
    assert all(label in texts[2] for label in LABELS.names)


def test_every_plot_has_a_title_units_and_one_of_our_templates() -> None:
    templates = {path.stem for path in (ROOT / ".dvc/plots").glob("*.json")}
    for plot in PIPELINE["plots"]:
        ((_, settings),) = plot.items()
        assert settings["template"] in templates
        assert {"title", "x_label"} <= settings.keys()
