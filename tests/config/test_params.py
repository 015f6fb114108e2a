"""Loading of params.yaml: types, completeness, and one error that lists every problem."""

import copy
import math
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpa.config import validation
from hpa.config.params import KEYS, Params, full_key, load_params
from hpa.errors import UserError
from support.paths import ROOT

PARAMS_PATH = ROOT / "params.yaml"


@pytest.fixture
def document() -> dict[str, Any]:
    loaded = yaml.safe_load(PARAMS_PATH.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def load_changed(tmp_path: Path, document: Any, **overrides: Any) -> Params:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return load_params(path, overrides)


def test_the_default_parameters_are_valid() -> None:
    params = load_params(PARAMS_PATH)
    assert tuple(params.flat()) == KEYS
    assert params.loss.gamma == params.flat()["loss.gamma"]


def test_parameters_are_immutable() -> None:
    with pytest.raises(AttributeError, match="gamma"):
        load_params(PARAMS_PATH).loss.gamma = 1.0  # type: ignore[misc]


def test_an_override_replaces_the_value_of_the_file() -> None:
    params = load_params(PARAMS_PATH, {"loss.gamma": 1, "loss.alpha": 0.25})
    assert (params.loss.gamma, params.loss.alpha) == (1.0, 0.25)
    assert isinstance(params.loss.gamma, float)


@pytest.mark.parametrize("value", ["1e-3", 1e-3, "0.001", ".001"])
def test_a_float_without_a_point_is_a_float(tmp_path: Path, value: Any) -> None:
    """YAML 1.1 reads 1e-3 as a string."""
    text = PARAMS_PATH.read_text(encoding="utf-8")
    changed, n_changed = re.subn(r"\n  learning_rate: \S+", f"\n  learning_rate: {value}", text)
    assert n_changed == 1
    (tmp_path / "params.yaml").write_text(changed, encoding="utf-8")
    assert load_params(tmp_path / "params.yaml").train.learning_rate == 0.001
    assert load_params(PARAMS_PATH, {"train.learning_rate": value}).train.learning_rate == 0.001


def test_a_key_that_moved_to_another_section_is_named_there(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    document["evaluate"]["fill_empty"] = True
    with pytest.raises(
        UserError, match=r"evaluate\.fill_empty: unknown; did you mean threshold\.fill_empty\?"
    ):
        load_changed(tmp_path, document)


@pytest.mark.parametrize("section", ["fetch", "serve"])
def test_a_white_of_earlier_versions_names_the_parameter_that_replaced_it(
    tmp_path: Path, document: dict[str, Any], section: str
) -> None:
    del document[section]["depth"]
    document[section]["sixteen_bit_white"] = 4095
    with pytest.raises(
        UserError,
        match=rf"{section}\.sixteen_bit_white: replaced by {section}\.depth, which takes the same",
    ):
        load_changed(tmp_path, document)
    with pytest.raises(UserError, match=rf"replaced by {section}\.depth"):
        load_params(PARAMS_PATH, {f"{section}.sixteen_bit_white": 4095})
    with pytest.raises(
        UserError, match=r"is not a parameter(.|\n)*replaced by (fetch|serve)\.depth"
    ):
        full_key("sixteen_bit_white")
    with pytest.raises(UserError, match=rf"replaced by {section}\.depth"):
        full_key(f"{section}.sixteen_bit_white")


def test_one_error_lists_every_problem_with_key_expected_received_and_nearest_name(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    document["loss"] |= {"name": "focall", "gama": 2, "alpha": 1.5}
    del document["loss"]["gamma"]
    document["pack"]["image_size"] = 100
    document["train"]["n_steps"] = 1.5
    document["score"]["batch_size"] = True
    document["tain"] = {}
    del document["explain"]["n_per_label"]
    with pytest.raises(UserError) as caught:
        load_changed(tmp_path, document)
    message = str(caught.value)
    for line in (
        "tain: unknown section; did you mean train?",
        "loss.gama: unknown; did you mean loss.gamma?",
        "loss.gamma: missing; expected a number from 0 to 10",
        "loss.name: expected 'focal' or 'binary_cross_entropy' or 'soft_macro_f1' or 'asymmetric', "
        "received 'focall'",
        "loss.alpha: expected a number from 0.001 to 0.999 or 'balanced' or LABEL x ALPHA, by "
        "number or name, separated by spaces or semicolons, such as '27x0.9 15x0.75' or 'Golgi "
        "apparatus x0.9' (each label at most once, alphas from 0.001 to 0.999) or null, received "
        "1.5",
        "pack.image_size: expected a whole number from 32 to 2048, a multiple of 32, received 100",
        "train.n_steps: expected a whole number at least 1, received 1.5",
        "score.batch_size: expected a whole number at least 1, received True",
        "explain.n_per_label: missing; expected a whole number from 0 to 8",
    ):
        assert f"\n    {line}\n" in message
    assert message.startswith("9 problem(s) in the parameters")


def test_problems_come_in_the_order_of_the_file(tmp_path: Path, document: dict[str, Any]) -> None:
    for section in document.values():
        section["nonsense"] = 0
    with pytest.raises(UserError) as caught:
        load_changed(tmp_path, document)
    found = [
        line.split(".")[0].strip() for line in str(caught.value).splitlines() if "nonse" in line
    ]
    assert found == list(document)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loss.gamma", "two"),
        ("loss.gamma", math.nan),
        ("loss.gamma", "inf"),
        ("loss.gamma", None),
        ("loss.gamma", True),
        ("loss.gamma", [1]),
        ("loss.gamma", 10**400),
        ("loss.gamma", -1),
        ("loss.name", 1),
        ("loss.name", ["focal"]),
        ("train.seed", 2**32),
        ("train.seed", -1),
        ("train.seed", "7"),
        ("fetch.path", 5),
        ("fetch.path", None),
        ("fetch.n_images", 27),
        ("fetch.n_connections", 17),
        ("fetch.requests_per_second", 0),
        ("fetch.missing_channels", 3),
        ("fetch.depth", 0),
        ("fetch.sources", {"name": "a"}),
        ("split.test_fraction", 0),
        ("split.holdout_fraction", -0.1),
        ("pack.odd_size", "stretch"),
        ("pack.framing", "cell"),
        ("pack.max_unreadable_fraction", 0.51),
        ("threshold.fixed", 1),
    ],
)
def test_a_wrong_value_is_refused_with_key_and_value(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"1 problem(.|\n)*{key}: expected .*, received") as caught:
        load_params(PARAMS_PATH, {key: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("missing", KEYS)
def test_every_key_must_be_present(tmp_path: Path, document: dict[str, Any], missing: str) -> None:
    section, _, name = missing.partition(".")
    del document[section][name]
    with pytest.raises(UserError, match=f"{missing}: missing; expected"):
        load_changed(tmp_path, document)


@pytest.mark.parametrize("text", ["- a\n- b\n", "", "just words", "12", "null", "---\n"])
def test_a_document_that_is_not_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    for overrides in ({}, {"loss.gamma": 1}):
        with pytest.raises(UserError, match="expected sections such as fetch, pack, split"):
            load_params(tmp_path / "params.yaml", overrides)


@pytest.mark.parametrize("section", [5, "text", None, ["gamma"]])
def test_a_section_that_is_not_a_mapping_is_refused(
    tmp_path: Path, document: dict[str, Any], section: Any
) -> None:
    document["loss"] = section
    for overrides in ({}, {"loss.gamma": 1}):
        with pytest.raises(UserError, match="loss: expected a section of keys, received"):
            load_changed(tmp_path, document, **overrides)


def test_an_override_of_a_missing_section_names_the_missing_keys(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    del document["loss"]
    with pytest.raises(UserError, match=r"loss\.name: missing") as caught:
        load_changed(tmp_path, document, **{"loss.gamma": 1, "nonsense.key": 2})
    assert "loss.gamma: missing" not in str(caught.value)
    assert "nonsense: unknown section" in str(caught.value)


def test_keys_that_are_not_strings_are_refused_without_a_traceback(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    document |= {2: {2: 3}, None: None, True: []}
    document["loss"][1.5] = {"nested": 1}
    with pytest.raises(UserError, match=r"loss\.1\.5: unknown") as caught:
        load_changed(tmp_path, document)
    assert str(caught.value).startswith("4 problem(s)")


@pytest.mark.parametrize("content", [b"loss: [", b"a: b: c", b"\xff\xfe\x00", b"\tloss: 1"])
def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"params\.yaml is not YAML"):
        load_params(tmp_path / "params.yaml")


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_params(tmp_path / "nowhere.yaml")
    with pytest.raises(UserError, match=r"cannot be read(.|\n)*directory"):
        load_params(tmp_path)


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"\xef\xbb\xbf" + PARAMS_PATH.read_bytes())
    assert load_params(tmp_path / "params.yaml") == load_params(PARAMS_PATH)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("fetch.base_url", "atlas.org", "begins with http://"),
        ("fetch.competition", "../x", "lower-case letters, digits and hyphens"),
        ("fetch.competition", "x\n", "lower-case letters, digits and hyphens"),
        ("app.allowed_hosts", "localhost:8000", "names or addresses separated by spaces"),
        ("app.allowed_hosts", "", "names or addresses separated by spaces"),
        ("loss.alpha", "27x0.9 27x0.8", "LABEL x ALPHA.*at most once"),
        ("loss.alpha", "27x1.0", r"alphas from 0\.001 to 0\.999"),
        ("loss.alpha", "27x0.000", r"alphas from 0\.001 to 0\.999"),
        ("loss.alpha", "27x0.9 27x0.8", "each label at most once"),
        ("loss.alpha", "balance", "'balanced' or LABEL x ALPHA"),
        ("loss.alpha", "", "'balanced' or LABEL x ALPHA"),
        ("loss.alpha", True, "'balanced' or LABEL x ALPHA"),
        ("train.repeats", "27x0", "LABEL x TIMES"),
        ("train.repeats", "27x8 27x4", "each label at most once"),
        ("train.depth_factors", "0.1 1", "three factors from 0 to 1"),
        ("train.depth_factors", "0.1 0.3 2", "three factors from 0 to 1"),
        ("train.n_devices", 3, "1 or 2 or 4 or 8 or 16"),
        ("train.n_devices", True, "1 or 2 or 4 or 8 or 16"),
        ("train.n_devices", 2.0, "1 or 2 or 4 or 8 or 16"),
        ("augment.turn", 1, "true or false"),
        ("fetch.z", "mean", "refuse, max, or the number of a slice from 1"),
        ("fetch.z", 0, "refuse, max, or the number of a slice from 1"),
        ("serve.z", True, "refuse, max, or the number of a slice from 1"),
        ("fetch.depth", "minmax", "camera, percentile, .*, or the value that becomes white"),
        ("serve.depth", 4095.5, "camera, percentile, .*, or the value that becomes white"),
        ("fetch.percentiles", "99 1", "two percentiles from 0 to 100"),
        ("fetch.percentiles", "0 101", "two percentiles from 0 to 100"),
        ("fetch.percentiles", "nan 50", "two percentiles from 0 to 100"),
        ("fetch.percentiles", "0", "two percentiles from 0 to 100"),
        ("fetch.found_as", "red", "CHANNEL=PLACE separated by semicolons"),
        ("fetch.found_as", "red=1; red=2", "CHANNEL=PLACE separated by semicolons"),
        ("serve.found_as", "red=", "CHANNEL=PLACE separated by semicolons"),
        ("fetch.pixel_size_um", 0, "a number from 0.001 to 1000"),
        ("search.space", [1], "a section of keys"),
    ],
)
def test_a_malformed_text_or_choice_is_refused(key: str, value: Any, expected: str) -> None:
    pattern = rf"{key}: expected .*{expected}.*, received {re.escape(repr(value))}\n"
    with pytest.raises(UserError, match=pattern):
        load_params(PARAMS_PATH, {key: value})


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        ({"fetch.source": "local"}, r"fetch\.path: expected a folder .* 'own/README\.md'"),
        (
            {"fetch.source": "hpa", "fetch.path": "ids.txt"},
            r"fetch\.path: expected a table \(\.csv\) .* 'ids\.txt'",
        ),
        (
            {"split.test_fraction": 0.5, "split.val_fraction": 0.5},
            r"expected less than 1, received 1\.0\n",
        ),
        ({"split.holdout_fraction": 0.7}, r"split\.holdout_fraction: expected less than 1"),
        ({"split.n_folds": 5, "train.fold": 5}, r"train\.fold: expected less .* \(5\), received 5"),
        ({"loss.name": "asymmetric", "loss.alpha": 0.3}, r"loss\.alpha: .* null .* received 0\.3"),
        ({"train.oversampling": "stated"}, r"train\.repeats: expected a text .* received None"),
        ({"train.repeats": "27x8"}, r"train\.repeats: .* else null, received '27x8'"),
        ({"train.head_steps": 640}, r"train\.head_steps: .* \(640\), received 640"),
        ({"train.n_devices": 4, "train.batch_size": 30}, r"multiple .* \(4\), received 30"),
        (
            {"fetch.source": "local", "fetch.path": "own", "fetch.found_as": "red=1; GFP=2"},
            r"fetch\.found_as: expected channels of fetch\.channels \(red, green, blue, yellow\)",
        ),
        ({"fetch.found_as": "red=DAPI; blue=dapi"}, r"found_as: expected another place for each"),
    ],
)
def test_contradicting_values_are_refused(overrides: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        load_params(PARAMS_PATH, overrides)


def test_one_error_lists_every_contradiction() -> None:
    with pytest.raises(UserError, match=r"contradict(.|\n)*train\.fold(.|\n)*train\.head_steps"):
        load_params(PARAMS_PATH, {"train.fold": 1, "train.head_steps": 700})


@pytest.mark.parametrize("alpha", [0.25, "0.25", "25e-2", "balanced", "27x0.9 15x.75", None])
def test_alpha_is_a_number_a_word_one_number_per_label_or_null(alpha: Any) -> None:
    read = load_params(PARAMS_PATH, {"loss.alpha": alpha}).loss.alpha
    assert read == (0.25 if alpha in ("0.25", "25e-2") else alpha)


def test_loading_does_not_change_the_overrides() -> None:
    overrides = {"loss.gamma": "1e0"}
    before = copy.deepcopy(overrides)
    load_params(PARAMS_PATH, overrides)
    assert overrides == before


def test_importing_the_configuration_loads_no_ml_library_and_reads_no_file() -> None:
    code = (
        "import sys, hpa.config.params, hpa.config.command_line; "
        "print(sorted({'tensorflow','keras','mlflow','pandas','numpy','dvc'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


def test_validation_opens_no_file(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a file was opened")

    document["fetch"] |= {"source": "local", "path": "/nowhere/at/all"}
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(os, "stat", refuse)
    built = validation.build(Params, document, "a test")
    assert built.fetch.path == "/nowhere/at/all"


def test_a_full_key_or_its_unique_last_word_is_found() -> None:
    assert full_key("loss.gamma") == full_key("gamma") == "loss.gamma"
    for key in KEYS:
        assert full_key(key) == key


def test_a_last_word_of_several_keys_is_refused_and_all_are_named() -> None:
    with pytest.raises(UserError, match=r"--seed is ambiguous(.|\n)*--fetch\.seed, --split\.seed"):
        full_key("seed")


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        UserError, match=r"--gama is not a parameter(.|\n)*did you mean loss\.gamma\?"
    ):
        full_key("gama")
    with pytest.raises(UserError, match="received:   --zzzzzz\n"):
        full_key("zzzzzz")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("pack.image_size", "a whole number from 32 to 2048, a multiple of 32"),
        ("train.patience", "a whole number at least 1 or null"),
        ("train.clip_norm", "a number from 1e-06 to 1e+06 or null"),
        ("train.n_devices", "1 or 2 or 4 or 8 or 16"),
        ("augment.turn", "true or false"),
        ("model.weights", "a text"),
        ("search.space", "a section of keys"),
        ("fetch.competition", "lower-case letters, digits and hyphens"),
    ],
)
def test_an_expectation_is_phrased_in_words(key: str, words: str) -> None:
    assert validation.expectations(Params)[key] == words


def test_a_user_error_survives_pickling_and_keeps_its_four_parts() -> None:
    error = UserError("wrong", expected="this", received="that", remedy="do it")
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(error))))
    assert type(again) is UserError
    assert isinstance(again, ValueError)
    assert str(again) == str(error)
    assert " ".join(str(error).split()) == "wrong expected: this received: that what to do: do it"
