"""Short ids of runs: unique ones are found, all others are refused at once."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest
from sqlalchemy.dialects import mssql, mysql, postgresql, sqlite

import compare
from hpa.errors import UserError
from hpa.tracking import mlflow_store, run_ids
from hpa.tracking.mlflow_store import open_store
from hpa.tracking.run_ids import full_run_id
from support.paths import ROOT
from support.servers import Request, Response, serve

PENDING = "pending-train-" + "1" * 32


@pytest.fixture(scope="module")
def runs(shared_root: Path) -> list[str]:
    """Seventeen runs in two experiments: two at least begin with the same digit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(shared_root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        client = open_store()
        experiments = ["0", client.create_experiment("of another project")]
        return [client.create_run(experiments[n % 2]).info.run_id for n in range(17)]


def test_a_run_is_found_by_its_whole_id_and_by_its_first_characters(
    store: mlflow.MlflowClient, runs: list[str]
) -> None:
    for run_id in runs:
        assert full_run_id(run_id) == full_run_id(run_id[:12]) == run_id
        assert full_run_id(f" {run_id[:12].upper()} ") == run_id


def test_an_ambiguous_id_names_the_candidates(
    store: mlflow.MlflowClient, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpa.tracking.run_ids.PREFIX", re.compile(r"[0-9a-f]{1,32}"))
    digit = next(run[0] for run in runs if sum(each[0] == run[0] for each in runs) > 1)
    alike = [run for run in runs if run[0] == digit]
    with pytest.raises(UserError, match=r"is ambiguous[\s\S]*give more of them") as refused:
        full_run_id(digit)
    assert all(run in str(refused.value) for run in alike[:5])


@pytest.mark.parametrize("given", ["", "   ", "abc", "reports", "%%%%", "a" * 33, "0x12ab"])
def test_what_is_no_id_is_refused(store: mlflow.MlflowClient, given: str) -> None:
    with pytest.raises(UserError, match="is not the id of a run"):
        full_run_id(given)


def test_an_unknown_run_is_refused(store: mlflow.MlflowClient) -> None:
    for given in ("0" * 32, "0" * 8, PENDING):
        with pytest.raises(UserError, match=r"there is no such run[\s\S]*sqlite:///mlflow\.db"):
            full_run_id(given)


def test_a_deleted_run_is_refused_with_the_command_that_restores_it(
    store: mlflow.MlflowClient,
) -> None:
    run_id = store.create_run("0").info.run_id
    store.delete_run(run_id)
    for given in (run_id, run_id[:10]):
        with pytest.raises(UserError, match=f"was deleted[\\s\\S]*restore --run-id {run_id}"):
            full_run_id(given)


def test_a_pending_id_finds_its_run_or_says_that_it_waits(
    store: mlflow.MlflowClient, shared_root: Path
) -> None:
    waiting = shared_root / ".tracking_outbox" / f"1-{PENDING}"
    waiting.mkdir(parents=True)
    with pytest.raises(UserError, match=r"wait for the store[\s\S]*sync_runs\.py"):
        full_run_id(PENDING)
    waiting.rmdir()
    run_id = store.create_run("0", tags={"started.train": PENDING}).info.run_id
    assert full_run_id(PENDING) == run_id


def test_looking_up_a_run_creates_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match="there is no such run"):
        full_run_id("0123")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "uri", ["http://me:secret@127.0.0.1:1", "postgresql://me:secret@127.0.0.1:1/name"]
)
def test_a_store_that_is_away_is_named_without_its_password(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="the tracking store cannot be read") as refused:
        full_run_id("0123")
    assert "secret" not in str(refused.value)


def test_a_database_of_another_program_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.db").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(UserError, match=r"cannot be read[\s\S]*no such table"):
        full_run_id("0123")


@pytest.mark.parametrize("dialect", [mysql, mssql, postgresql, sqlite])
def test_the_column_key_is_quoted_where_the_database_reserves_the_word(dialect: Any) -> None:
    made = dialect.dialect()
    query = str(run_ids._query(PENDING).compile(dialect=made))
    quoted = made.identifier_preparer.quote("key")
    assert f"tags.{quoted} = " in query
    assert quoted != "key" or dialect in (postgresql, sqlite)


def test_an_error_without_a_message_is_named(
    store: mlflow.MlflowClient, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(uri: str, text: str) -> None:
        raise TimeoutError

    monkeypatch.setattr(run_ids, "_in_database", fail)
    with pytest.raises(UserError, match=r"cannot be read[\s\S]*TimeoutError"):
        full_run_id("0123")


def answer(request: Request) -> Response:
    """Answer like a server with two pages of experiments, and one run in the second."""
    body = json.loads(request.body)
    if request.path.endswith("/experiments/search"):
        page = int(body.get("page_token", 1))
        found = {"experiments": [{"experiment_id": str(page)}]}
        return Response(
            body=json.dumps(found | ({"next_page_token": "2"} if page == 1 else {})).encode()
        )
    assert body["filter"] == "attributes.run_id LIKE 'abcd%'"
    assert body["experiment_ids"] == ["1", "2"]
    run = {"info": {"run_id": "abcd" * 8, "lifecycle_stage": "active"}}
    return Response(body=json.dumps({"runs": [run]}).encode())


def test_a_server_is_asked_in_every_experiment_with_the_account_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    with serve(answer) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        assert full_run_id("abcd") == "abcd" * 8
        assert {each.headers["Authorization"] for each in server.requests} == {"Basic bWU6c2VjcmV0"}


def test_a_server_that_wants_other_credentials_is_asked_through_mlflow(
    store: mlflow.MlflowClient, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_store, "open_store", lambda: store)
    with serve(lambda _: Response(status=401)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        assert full_run_id(runs[0][:12]) == runs[0]


def test_a_name_too_long_for_a_file_is_refused_as_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["compare.py", "a" * 300, "reports"])
    with pytest.raises(UserError, match="is not the id of a run"):
        compare.main()


@pytest.mark.parametrize("script", ["promote", "reproduce", "compare"])
def test_each_command_refuses_an_unknown_run_before_it_loads_any_large_library(
    script: str, shared_root: Path, runs: list[str]
) -> None:
    arguments = ["0" * 8] * (2 if script == "compare" else 1)
    loads = {"mlflow", "tensorflow", "keras", "pandas", "sklearn"}
    code = f"""
import runpy, sys
sys.argv = {[script, *arguments]!r}
try:
    runpy.run_path({str(ROOT / "src" / script)!r} + ".py", run_name="__main__")
finally:
    print(*sorted({loads!r} & set(sys.modules)), "loaded")
"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "DVC_ROOT": str(shared_root), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "there is no such run" in done.stderr
    assert done.stdout.strip() == "loaded"
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert spent.ru_utime + spent.ru_stime - before.ru_utime - before.ru_stime < 2
