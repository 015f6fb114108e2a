"""Size of the code before and after a change: files, lines, functions.

    python benchmarks/house.py                     c726d21 beside the work tree; two seconds
    python benchmarks/house.py REVISION            another revision before
    python benchmarks/house.py BEFORE AFTER        two revisions, or folders of checkouts

Prints a table in Markdown. Lines include blank ones, comments and docstrings. The medians leave out
`__init__.py`; a function counts from `def` to its last line, methods and inner functions too.
"""

import argparse
import ast
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
BEFORE_ROOMS = "c726d21"  # the last commit with all modules at the root of the package


def main() -> None:
    """Measure two checkouts and print them side by side."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    help_text = "a folder or a git revision"
    parser.add_argument("before", nargs="?", default=BEFORE_ROOMS, help=help_text)
    parser.add_argument("after", nargs="?", default=str(ROOT), help=help_text)
    arguments = parser.parse_args()
    with checkout(arguments.before) as before, checkout(arguments.after) as after:
        columns = measure(before), measure(after)
    print("| | before | after |\n|---|---|---|")
    for name in columns[0]:
        print(f"| {name} | {columns[0][name]:,g} | {columns[1][name]:,g} |")


@contextmanager
def checkout(place: str) -> Iterator[Path]:
    """Yield a folder as it is, or a temporary one with the files of a revision."""
    if Path(place).is_dir():
        yield Path(place)
        return
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", place]
    git = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if git.returncode:
        sys.exit(f"error: expected a folder or a git revision, received {place!r}")
    with (
        tempfile.TemporaryDirectory() as folder,
        tarfile.open(fileobj=io.BytesIO(git.stdout)) as tar,
    ):
        tar.extractall(folder, filter="data")
        yield Path(folder)


def measure(root: Path) -> dict[str, float]:
    """Return name and value of each row of the table."""
    code = list((root / "src").rglob("*.py"))
    tests = list((root / "tests").rglob("*.py"))
    modules = [path for path in code if path.name != "__init__.py"]
    return {
        "modules at the root of `src/hpa`": len(set(modules) & set((root / "src/hpa").glob("*"))),
        "Python files in `src`": len(code),
        "Python files in `tests`": len(tests),
        "lines of Python in `src`": sum(map(count_lines, code)),
        "lines of other text in `src`": sum(map(count_lines, other_text(root / "src"))),
        "lines of Python in `tests`": sum(map(count_lines, tests)),
        "lines of `dvc.yaml`": count_lines(root / "dvc.yaml"),
        "median lines of a file in `src`": median(map(count_lines, modules)),
        "median lines of a function in `src`": median(function_lengths(modules)),
    }


def other_text(folder: Path) -> Iterator[Path]:
    """List templates, pages, styles and tables."""
    for path in folder.rglob("*"):
        if path.suffix in {".html", ".j2", ".css", ".js", ".csv", ".md", ".json", ".svg"}:
            yield path


def count_lines(path: Path) -> int:
    """Count the lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def function_lengths(paths: Iterable[Path]) -> Iterator[int]:
    """List the lines of each function."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield node.end_lineno - node.lineno + 1


if __name__ == "__main__":
    main()
