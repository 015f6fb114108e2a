"""Compare the pins of a conda.yaml with the packages installed in this environment."""

import argparse
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml


def main() -> None:
    """Exit with a message if an installed version differs from its pin."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=Path, required=True)
    path = parser.parse_known_args()[0].file
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    pins = next(each["pip"] for each in dependencies if isinstance(each, dict))
    wrong = [pin for pin in pins if installed(pin.partition("==")[0]) != pin.partition("==")[2]]
    if wrong:
        sys.exit(f"error: .venv differs from {path}: {', '.join(wrong)}\n  what to do: make setup")


def installed(name: str) -> str:
    """Return the installed version, or an empty text."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


main()
