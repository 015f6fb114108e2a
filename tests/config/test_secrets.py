from pathlib import Path

import pytest

from hpa.config.params import load_params
from hpa.config.secrets import hide_secrets, holds_secret
from hpa.errors import UserError
from hpa.tracking.address import first_line
from support.paths import ROOT

SECRETS = [
    "postgresql://me:abc123@host/name",
    "https://abc123@github.com/owner/name.git",
    "https://me:abc@abc123@host:5000/path",
    "http://host/path?api_key=abc123",
    "postgresql://host/name?user=me&password=abc123",
]
HARMLESS = [
    "postgresql://me@host:5432/name?passfile=/home/me/.pgpass",
    "https://images.proteinatlas.org:443/1@2.jpg",
    "sqlite:////home/me/optuna.db",
    "git@github.com:owner/name.git",
    "hf://timm/resnet34.tv_in1k",
    "27x0.9 15x0.75",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_found_and_hidden(text: str) -> None:
    assert holds_secret(text)
    assert "abc123" not in hide_secrets(f"failed: {text} is away")


@pytest.mark.parametrize("text", HARMLESS)
def test_an_address_without_a_secret_stays_as_it_is(text: str) -> None:
    assert not holds_secret(text)
    assert hide_secrets(text) == text


@pytest.mark.parametrize("key", ["search.storage", "fetch.base_url", "model.weights"])
def test_a_password_in_any_parameter_is_refused_before_a_run_can_log_it(key: str) -> None:
    with pytest.raises(UserError, match=f"{key}: expected no password") as caught:
        load_params(ROOT / "params.yaml", {key: "https://me:abc123@host/name"})
    assert "abc123" not in str(caught.value)


def test_a_password_is_not_repeated_by_the_error_of_another_problem() -> None:
    with pytest.raises(UserError, match=r"search\.seed: expected a whole number") as caught:
        load_params(ROOT / "params.yaml", {"search.seed": "postgresql://me:abc123@host/name"})
    assert "abc123" not in str(caught.value)


def test_a_stores_error_is_told_without_the_password_of_its_address(tmp_path: Path) -> None:
    error = OSError("API request to http://me:abc123@host:5000/api failed")
    assert first_line(error) == "API request to http://me:***@host:5000/api failed"
