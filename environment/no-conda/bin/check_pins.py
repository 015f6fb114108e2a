"""Compare the pins of a conda.yaml with the packages installed in this environment."""

import argparse
import hashlib
import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

PROJECT_FILE = Path(__file__).resolve().parents[3] / "conda.yaml"


def main() -> None:
    """Exit with a message if an installed version differs from its pin."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=Path, default=PROJECT_FILE)
    parser.add_argument("--list", action="store_true", help="as `conda env list --json` does")
    arguments = parser.parse_known_args()[0]
    wrong = differing(arguments.file)
    if arguments.list:
        print(json.dumps({"envs": [] if wrong else [mlflow_name(arguments.file)]}))
    elif wrong:
        sys.exit(
            f"error: .venv differs from {arguments.file}: {', '.join(wrong)}\n"
            "  what to do: make setup"
        )


def differing(path: Path) -> list[str]:
    """Return the pins whose package has another version, or is missing."""
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    pins = next(each["pip"] for each in dependencies if isinstance(each, dict))
    return [pin for pin in pins if installed(pin.partition("==")[0]) != pin.partition("==")[2]]


def mlflow_name(path: Path) -> str:
    """Return the name under which MLflow looks for the environment of a file."""
    return f"mlflow-{hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()}"


def installed(name: str) -> str:
    """Return the installed version, or an empty text."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


main()
