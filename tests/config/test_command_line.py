"""Overrides, help, and errors without a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpa.config import command_line
from hpa.config.params import Params
from hpa.errors import UserError
from support.paths import ROOT

PARAMS = ["--params", str(ROOT / "params.yaml")]
SECTIONS = ("model", "loss", "train")


def parse(*words: str) -> Params:
    parser = command_line.parser("Recipe.", *SECTIONS)
    return command_line.parse(parser, [*words, *PARAMS])[0]


@pytest.mark.parametrize(
    "words", [["--loss.gamma", "1"], ["--gamma", "1"], ["--gamma=1"], ["--loss.gamma=1.0"]]
)
def test_every_spelling_of_a_key_sets_the_same_parameter(words: list[str]) -> None:
    assert parse(*words).loss.gamma == 1.0


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ([], {}),
        (["--learning_rate", "1e-3"], {"train.learning_rate": "1e-3"}),
        (["--alpha", "null"], {"loss.alpha": None}),
        (["--alpha", "~"], {"loss.alpha": None}),
        (["--alpha="], {"loss.alpha": None}),
        (["--gamma", "-1"], {"loss.gamma": -1}),
        (["--gamma", "1", "--gamma", "2"], {"loss.gamma": 2}),
        (["--loss.name=a=b"], {"loss.name": "a=b"}),
    ],
)
def test_values_are_parsed_as_in_the_file(words: list[str], overrides: dict[str, Any]) -> None:
    assert command_line.read_overrides(words, SECTIONS) == overrides


def test_1e_3_is_a_number() -> None:
    assert parse("--learning_rate", "1e-3").train.learning_rate == 0.001


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--seed", "1"], "--seed is ambiguous"),
        (["--gama", "1"], r"--gama is not a parameter(.|\n)*did you mean loss\.gamma"),
        (["--hash_distance", "1"], r"--split\.hash_distance does not apply to this script"),
        (["--gamma"], "--gamma has no value(.|\n)*end of the line"),
        (["--gamma", "--alpha", "0.5"], "--gamma has no value(.|\n)*received:   --alpha"),
        (["gamma", "1"], "'gamma' is misplaced"),
        (["--gamma", "1", "2"], "'2' is misplaced"),
        (["-gamma", "1"], "'-gamma' is misplaced"),
        (["--gamma", "["], r"the value of --gamma is not YAML(.|\n)*received:   \["),
        (["--gamma", "@x"], "the value of --gamma is not YAML"),
        (["--gamma", "{a: 1}"], r"loss\.gamma: expected a number .*received \{'a': 1\}"),
        (["--gamma", "99"], r"loss\.gamma: expected a number from 0 to 10, received 99"),
        (["--", "x"], "is not a parameter|misplaced"),
    ],
)
def test_a_wrong_override_is_refused_by_name(words: list[str], match: str) -> None:
    parser = command_line.parser("Recipe.", *SECTIONS)
    with pytest.raises(UserError, match=match):
        command_line.parse(parser, [*PARAMS, *words])


def test_a_script_without_sections_accepts_no_overrides() -> None:
    with pytest.raises(UserError, match="no overrides"):
        command_line.read_overrides(["--gamma", "1"], ())


def test_options_of_the_script_are_returned_with_the_parameters() -> None:
    parser = command_line.parser("Recipe.", *SECTIONS)
    parser.add_argument("--output", type=Path)
    params, arguments = command_line.parse(parser, ["--gamma", "1", "--output", "x", *PARAMS])
    assert params.loss.gamma == 1.0
    assert arguments.output == Path("x")
    assert arguments.overrides == {"loss.gamma": 1}


def test_help_shows_the_recipe_and_the_lines_of_its_own_sections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "loss:\n  gamma: 2.0  # 100 % of it\npack:\n  image_size: 96\n"
    (tmp_path / "params.yaml").write_text(lines, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    shown = command_line.parser("The recipe.", "loss").format_help()
    assert "The recipe." in shown
    assert "gamma: 2.0  # 100 % of it\n" in shown
    assert "image_size" not in shown


def test_help_works_without_a_params_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--params FILE" in command_line.parser(None, "loss").format_help()


def run_script(body: str) -> subprocess.CompletedProcess[str]:
    code = f"import os, signal, sys\nfrom hpa.config import command_line\n{body}\n"
    code += "command_line.run(main)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-c", code, "--gama", "1"],
        env=environment, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip


def test_a_user_error_prints_its_message_and_exits_with_2() -> None:
    done = run_script("def main(): command_line.parse(command_line.parser('', 'loss'))")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --gama is not a parameter")
    assert "Traceback" not in done.stderr


def test_a_program_error_keeps_its_traceback() -> None:
    done = run_script("def main(): raise KeyError('defect')")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_sigterm_runs_finally_blocks_and_exits_with_143() -> None:
    done = run_script(
        "def main():\n    try: os.kill(os.getpid(), signal.SIGTERM)\n    finally: print('closed')"
    )
    assert done.returncode == 128 + signal.SIGTERM == 143
    assert done.stdout == "closed\n"


@pytest.mark.parametrize("n_lines", [1, 100_000])
@pytest.mark.parametrize("end", ["", "; sys.exit(1)"])
def test_output_that_nobody_reads_on_ends_without_a_traceback(n_lines: int, end: str) -> None:
    """As `| head` does; a short text stays in the buffer until the end."""
    body = f"def main():\n    sys.stdin.read()\n    for _ in range({n_lines}): print('line'){end}"
    code = f"import sys\nfrom hpa.config import command_line\n{body}\ncommand_line.run(main)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.communicate()[1] == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_a_broken_pipe_to_another_program_keeps_its_traceback() -> None:
    done = run_script("def main(): raise BrokenPipeError('a worker has ended')")
    assert done.returncode == 1
    assert "a worker has ended" in done.stderr


def test_a_script_whose_output_was_closed_before_the_start_ends_well() -> None:
    done = run_script("sys.stdout = None\ndef main(): pass")
    assert (done.returncode, done.stderr) == (0, "")
