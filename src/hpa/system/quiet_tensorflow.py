"""Quiet start of TensorFlow: drop what its C++ libraries log while they load."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

NOISE = (
    r"^WARNING: All log messages before absl::InitializeLog\(\) is called"
    r"|^[IW][0-9]{4} [0-9:.]+ +[0-9]+ [a-z_]+\.cc:[0-9]+\] "
    r"|Unable to register cu[A-Z]+ factory"  # by both libraries, on machines with a GPU
)
"""Lines that TensorFlow's C++ libraries write while they load, whatever the log level."""


def install() -> None:
    """Filter stderr while TensorFlow is imported for the first time, by whichever library."""
    if QuietTensorFlow not in sys.meta_path:
        sys.meta_path.insert(0, QuietTensorFlow)


class QuietTensorFlow:
    """Import hook that filters stderr while TensorFlow loads."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return TensorFlow's own spec with a quiet loader; None for any other module."""
        if name != "tensorflow":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and (loader := spec.loader):
            execute = loader.exec_module

            def execute_quietly(module: ModuleType) -> None:
                with filtered_stderr(NOISE):
                    execute(module)
                for logger in ("tensorflow", "absl"):
                    logging.getLogger(logger).setLevel(logging.ERROR)

            loader.exec_module = execute_quietly  # type: ignore[method-assign]
        return spec


@contextmanager
def filtered_stderr(pattern: str) -> Iterator[None]:
    """Drop the lines that match an extended regular expression from file descriptor 2.

    `grep` filters, in a process of its own, so that the last words of a crash are still shown.
    """
    try:
        grep = subprocess.Popen(
            ["grep", "--line-buffered", "-avE", pattern],
            stdin=subprocess.PIPE,
            stdout=2,
            process_group=0,  # Ctrl-C ends this process, not its filter
        )
    except OSError:  # no grep: filter nothing
        yield
        return
    assert grep.stdin is not None
    stderr = os.dup(2)
    os.dup2(grep.stdin.fileno(), 2)
    grep.stdin.close()
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        with suppress(subprocess.TimeoutExpired):  # a child of another thread may still use it
            grep.wait(timeout=1)
