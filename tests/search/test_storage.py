import threading
import time
from pathlib import Path

import pytest

from hpa.errors import UserError
from hpa.search.storage import lock_study, open_storage, storage_url


def test_a_relative_path_is_relative_to_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert storage_url("sqlite:///optuna.db") == f"sqlite:///{tmp_path}/optuna.db"
    assert storage_url("sqlite:////other/optuna.db") == "sqlite:////other/optuna.db"
    assert storage_url("postgresql://me@host/name") == "postgresql+psycopg2://me@host/name"


@pytest.mark.parametrize("stated", ["optuna.db", "", "mysql://host/name", "sqlite://", "http://a"])
def test_other_databases_are_refused(stated: str) -> None:
    with pytest.raises(UserError, match=r"search\.storage is not the address of a database"):
        storage_url(stated)


@pytest.mark.parametrize(
    "stated",
    [
        "postgresql://me:abc123@host/name",
        "postgresql://me:12/abc123@host/name",
        "postgresql://host/name?user=me&password=abc123",
        "postgresql://me@host/name?sslpassword=abc123&sslmode=require",
        "postgresql://me@host/name?pass%77ord=abc123",
        "postgresql://me@host/name?PASSWORD=abc123",
        "postgresql://me@host/dbname=name password=abc123",
        "sqlite:///optuna.db?password=abc123",
        "mysql://me:abc123@host/name",
        "postgresql//me:abc123@host/name",
    ],
)
def test_a_password_anywhere_in_the_address_is_refused_and_not_repeated(stated: str) -> None:
    with pytest.raises(UserError, match="contains a password") as caught:
        storage_url(stated)
    assert "abc123" not in str(caught.value)


def test_a_malformed_address_is_refused_without_what_may_be_its_password() -> None:
    with pytest.raises(UserError, match="not the address of a database") as caught:
        storage_url("me:abc123@host/name")
    assert "abc123" not in str(caught.value)


def test_the_file_of_passwords_and_a_users_name_are_no_passwords() -> None:
    stated = "postgresql://me@host:5432/name?passfile=/home/me/.pgpass&sslkey=/home/me/key.pem"
    assert "passfile" in storage_url(stated)


def test_a_server_that_does_not_respond_is_an_error() -> None:
    with pytest.raises(UserError, match="cannot be used"):
        open_storage(storage_url("postgresql://me@127.0.0.1:1/name"))


def test_one_thread_at_a_time_holds_the_lock_of_a_study(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/optuna.db")
    inside: list[int] = []

    def enter(number: int) -> None:
        with lock_study(storage, "study"):
            inside.append(number)
            time.sleep(0.05)
            assert inside[-1] == number

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(inside) == [0, 1, 2, 3]
