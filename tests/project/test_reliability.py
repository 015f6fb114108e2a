"""The promises of docs/reliability.md name tests that exist."""

import ast
import re

from support.paths import ROOT

NAMED = re.compile(r"`(\w+(?:/\w+)*/test_\w+\.py)(?:::(\w+))?`")


def test_every_test_that_a_promise_names_exists() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = NAMED.findall(text)
    assert len(named) > 50
    for path, test in named:
        tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
        names = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
        assert not test or test in names, f"{path} has no {test}"


def test_every_promise_names_its_test() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith("| fault |")]
    assert promises
    assert all(NAMED.search(row.rsplit("|", 2)[1]) for row in promises)
