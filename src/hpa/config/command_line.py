"""Command line shared by all scripts: overrides of parameters, help, and errors."""

import argparse
import os
import select
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from hpa.config.params import Params, full_key, load_params
from hpa.errors import UserError

SAME_REQUEST_S = 2.0
"""Signals that follow a request to stop within this time repeat it; they do not hasten it.

A terminal, a scheduler and the process above may each send one.
"""
_asked_at: list[float] = []


def parser(recipe: str | None, *sections: str) -> argparse.ArgumentParser:
    """Create the parser of a script that reads some sections of params.yaml.

    `--help` shows `recipe` and the lines of these sections. Overrides of others are refused.
    """
    made = argparse.ArgumentParser(
        usage="%(prog)s [--SECTION.KEY VALUE | --KEY VALUE] ... [options]" if sections else None,
        description=recipe,
        epilog=_parameters_help(Path("params.yaml"), sections),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--params",
        type=Path,
        default=Path("params.yaml"),
        metavar="FILE",
        help="file with the parameters (default: params.yaml)",
    )
    made.set_defaults(sections=sections)
    return made


def parse(
    parser: argparse.ArgumentParser, argv: list[str] | None = None
) -> tuple[Params, argparse.Namespace]:
    """Return the parameters with the overrides applied, and the script's own options.

    Raises:
        UserError: an override is unknown, ambiguous, of another section or without a value, or a
            value is not allowed.
    """
    arguments, words = parser.parse_known_args(argv)
    arguments.overrides = read_overrides(words, arguments.sections)
    return load_params(arguments.params, arguments.overrides), arguments


def read_overrides(words: list[str], sections: tuple[str, ...]) -> dict[str, Any]:
    """Parse `--loss.gamma 2`, `--gamma 2` or `--gamma=2` as {"loss.gamma": 2}."""
    overrides: dict[str, Any] = {}
    remaining = iter(words)
    for word in remaining:
        if not word.startswith("--"):
            raise UserError(
                f"{word!r} is misplaced",
                expected="--KEY VALUE",
                received=word,
                remedy="see --help for the keys",
            )
        name, equals, text = word.removeprefix("--").partition("=")
        key = _key_of(sections, name)
        overrides[key] = _read_value(name, text if equals else next(remaining, "--"))
    return overrides


def run(main: Callable[[], None]) -> None:
    """Run a script's main function.

    A UserError is printed without a traceback and exits with 2. SIGTERM, SIGHUP and Ctrl-C raise
    exceptions, so open files and runs are closed; they exit with 143, 129 and 130. So does output
    that nobody reads on, as in `| head`, with 141.
    """
    _exit_on(signal.SIGTERM, signal.SIGHUP)
    try:
        try:
            main()
        finally:
            if sys.stdout:  # None if it was closed before the start
                sys.stdout.flush()
    except BrokenPipeError:
        if not _is_output_closed():
            raise
        leave_terminal()
        sys.exit(128 + signal.SIGPIPE)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def is_repeat() -> bool:
    """Tell whether a signal received now repeats a request to stop; a new one is noted."""
    now = time.monotonic()
    if _asked_at and now - _asked_at[-1] < SAME_REQUEST_S:
        return True
    _asked_at.append(now)
    return False


def leave_terminal() -> None:
    """Discard further output, unless it goes to a file: a closed terminal refuses to be written."""
    for descriptor in (1, 2):
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        except OSError:  # the descriptor is closed
            continue


def _is_output_closed() -> bool:
    """Return whether what reads stdout or stderr has ended."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _exit_on(*numbers: signal.Signals) -> None:
    """Exit on signals, so that open files and runs are closed; let no repeat disturb that at once.

    An ignored signal, as SIGHUP below `nohup`, stays ignored.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_terminal()
        if not is_repeat():
            sys.exit(128 + number)

    for number in numbers:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)


def _parameters_help(path: Path, sections: tuple[str, ...]) -> str:
    """Quote the lines of the sections, with their values and comments."""
    if not path.is_file() or not sections:
        return ""
    lines, wanted = [], False
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line and not line[0].isspace():
            wanted = line.partition(":")[0] in sections
        if wanted:
            lines.append(f"  {line}")
    return "\n".join(["parameters and their values in params.yaml:", *lines])


def _key_of(sections: tuple[str, ...], name: str) -> str:
    key = full_key(name)
    if key.partition(".")[0] not in sections:
        raise UserError(
            f"--{key} does not apply to this script",
            expected=f"a key of {', '.join(sections)}" if sections else "no overrides",
            received=f"--{key}",
            remedy=f"to change it for the whole pipeline: dvc exp run -S {key}=VALUE",
        )
    return key


def _read_value(name: str, text: str) -> Any:
    if text.startswith("--"):
        raise UserError(
            f"--{name} has no value",
            expected=f"--{name} VALUE",
            received="end of the line" if text == "--" else text,
            remedy="add a value after it",
        )
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(
            f"the value of --{name} is not YAML",
            expected="a number, true, false, null or text",
            received=text,
            remedy="quote text with special characters twice: --KEY '\"VALUE\"'",
        ) from error
