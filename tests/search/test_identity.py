"""A study holds trials of one kind: whatever else decides a value is refused by name."""

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from hpa.data.packed.vocabulary import write_vocabulary
from hpa.errors import UserError
from hpa.search import identity
from hpa.search.identity import DATA
from hpa.search.report import study_facts
from hpa.search.study import begin_study, load_study
from hpa.system.files import write_json
from hpa.training import start
from hpa.vocabulary import hpa2018
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.labels import Labels
from support.search_workspaces import make_workspace, small_params


@pytest.fixture(autouse=True)
def workspace(packed_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_workspace(tmp_path / "workspace", packed_world)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    return folder


def test_a_study_created_for_other_parameters_or_data_is_refused_by_key(
    workspace: Path,
) -> None:
    begin_study(small_params())
    begin_study(small_params(**{"search.n_trials": 9, "loss.gamma": 3}))  # both may differ
    with pytest.raises(UserError, match=r"train\.batch_size: 4 then, 8 now") as caught:
        begin_study(small_params(**{"train.batch_size": 8}))
    assert "created for other parameters\n" in str(caught.value)
    assert "or begin another study: python src/search.py --study_name hpa-2" in str(caught.value)
    with (workspace / "data/split/assignment.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(UserError, match=r"data/split/assignment\.csv: \w{10} then"):
        begin_study(small_params())


def test_the_commands_that_resume_a_study_or_begin_another_are_quoted_for_the_shell() -> None:
    name = {"search.study_name": "mine; $(rm x)"}
    study = begin_study(small_params(**name))
    with pytest.raises(UserError, match=r"--study_name 'mine; \$\(rm x\)-2'"):
        begin_study(small_params(**name, **{"train.batch_size": 8}))
    assert "--study_name 'mine; $(rm x)' --n_trials" in study_facts(study)["Resume"]


def begin_and_join() -> None:
    """Begin or resume the study, and join it, as a worker does."""
    study = begin_study(small_params())
    load_study(study.storage.url, study.name)


def test_trials_of_other_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials depend on the code of a training, of the thresholds, and of the search itself."""
    digested: list[Path] = []
    real = identity.code_sha256
    monkeypatch.setattr(identity, "code_sha256", lambda paths: digested.extend(paths) or "a" * 64)
    begin_and_join()
    names = {path.relative_to(path.parents[2]).as_posix() for path in digested}
    assert {"src/hpa/training", "src/hpa/model", "src/hpa/thresholds"} <= names
    assert {"hpa/search/trial.py", "hpa/search/space.py"} <= names
    assert all(path.exists() for path in digested)
    monkeypatch.setattr(identity, "code_sha256", real)
    with pytest.raises(UserError, match=r"code\.sha256: a{10} then, \w{10} now"):
        begin_study(small_params())
    with pytest.raises(UserError, match=r"code\.sha256: a{10} then, \w{10} now"):
        load_study(f"sqlite:///{Path.cwd()}/optuna.db", "hpa")


@pytest.mark.parametrize("package", ["keras", "tensorflow", "numpy", "scikit-learn"])
def test_trials_of_another_version_of_a_library_are_refused(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_and_join()
    known = importlib.metadata.version
    monkeypatch.setattr(identity, "version", lambda name: "9.9" if name == package else known(name))
    for again in (
        lambda: begin_study(small_params()),
        lambda: load_study(f"sqlite:///{Path.cwd()}/optuna.db", "hpa"),
    ):
        with pytest.raises(UserError, match=rf"version of {package}: '[\d.]+' then, '9\.9' now"):
            again()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("threshold.seed", 1, r"threshold\.seed: 0 then, 1 now"),
        ("train.backend", "jax", r"train\.backend: 'tensorflow' then, 'jax' now"),
        ("score.augmentation", "dihedral", r"score\.augmentation: 'none' then, 'dihedral' now"),
        ("search.trial_steps", 2, r"search\.trial_steps: 4 then, 2 now"),
    ],
)
def test_trials_with_another_fixed_parameter_are_refused(
    key: str, value: object, said: str
) -> None:
    begin_study(small_params())
    with pytest.raises(UserError, match=said):
        begin_study(small_params(**{key: value}))


SPACE = {
    "loss": {"name": ["focal"], "gamma": {"low": 0, "high": 4}},
    "train": {"learning_rate": {"low": 0.0003, "high": 0.01, "log": True}},
}


@pytest.mark.parametrize(
    ("section", "changed", "said"),
    [
        ("loss", {"gamma": {"low": 0, "high": 3}}, "gamma: 0 to 4 then, 0 to 3 now"),
        ("loss", {"gamma": [1.5, 2]}, "gamma: 0 to 4 then, [1.5, 2] now"),
        ("loss", {"name": ["focal", "asymmetric"]}, "name: ['focal'] then, ['focal', 'asymm"),
        ("loss", {"alpha": [None, 0.5]}, "alpha: not searched then, [None, 0.5] now"),
        (
            "train",
            {"learning_rate": {"low": 0.0003, "high": 0.01}},
            "learning_rate: 0.0003 to 0.01 (log) then, 0.0003 to 0.01 now",
        ),
    ],
)
def test_of_a_changed_space_only_the_changed_key_is_named(
    section: str, changed: dict[str, Any], said: str
) -> None:
    begin_study(small_params(**{"search.space": SPACE}))
    other = {**SPACE, section: {**SPACE[section], **changed}}
    with pytest.raises(UserError) as caught:
        begin_study(small_params(**{"search.space": other}))
    (line,) = [line for line in str(caught.value).splitlines() if " then, " in line]
    assert f"search.space.{section}.{said}" in line
    assert "{" not in str(caught.value)


def test_a_space_that_is_only_written_otherwise_is_the_same() -> None:
    begin_study(small_params(**{"search.space": {"loss": {"gamma": {"low": 0, "high": 4}}}}))
    written = {"low": 0.0, "high": 4.0, "log": False}
    begin_study(small_params(**{"search.space": {"loss": {"gamma": written}}}))


def test_what_decides_no_value_may_change() -> None:
    begin_study(small_params())
    begin_study(
        small_params(
            **{"train.checkpoint_every": 3, "threshold.rule": "sweep", "search.sampler": "random"}
        )
    )


def test_changed_pretrained_weights_of_the_same_name_are_refused(workspace: Path) -> None:
    weights = workspace / "mine" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"one")
    (weights.parent / "config.json").write_text("{}")
    changed = {"model.weights": "mine", "search.study_name": "pretrained"}
    begin_study(small_params(**changed))
    weights.write_bytes(b"two")
    with pytest.raises(UserError, match=r"weights of mine: [0-9a-f]{10} then"):
        begin_study(small_params(**changed))
    with pytest.raises(UserError, match=r"weights of mine: [0-9a-f]{10} then"):
        load_study(f"sqlite:///{workspace}/optuna.db", "pretrained")


def test_another_older_model_of_the_same_name_is_refused(workspace: Path) -> None:
    def write(content: str) -> None:
        archive = workspace / "base" / "best.keras"
        archive.parent.mkdir(exist_ok=True)
        archive.write_text(content)
        write_json(archive.with_name("provenance.json"), {"run_id": "old"})

    write("one")
    changed = {"model.weights": "base", "search.study_name": "started"}
    begin_study(small_params(**changed))
    write("two")
    begin_study(small_params(**changed))  # a process stays with what it has read
    start._start_of.cache_clear()  # as in another process
    with pytest.raises(UserError, match=r"weights of base: [0-9a-f]{10} then"):
        begin_study(small_params(**changed))


def test_a_study_of_an_earlier_version_is_refused_as_it_recorded_less() -> None:
    study = begin_study(small_params())
    fixed = study.optuna.user_attrs["fixed"]
    del fixed["code.sha256"]
    study.optuna.set_user_attr("fixed", fixed)
    with pytest.raises(UserError, match=r"code\.sha256: not recorded then"):
        begin_study(small_params())


def test_the_digested_data_are_those_that_a_trial_reads(workspace: Path) -> None:
    assert all((workspace / path).is_file() for path in DATA)


def test_trials_of_another_vocabulary_are_refused_with_the_difference(workspace: Path) -> None:
    begin_and_join()
    packed = workspace / "data/packed"
    content = {each.name: each for each in packed.resolve().iterdir()}
    packed.unlink()
    packed.mkdir()
    for name, path in content.items():
        (packed / name).symlink_to(path)
    (packed / "vocabulary.json").unlink(missing_ok=True)
    names = ("Golgi", *hpa2018.LABELS.names[1:])
    channels = Channels(hpa2018.CHANNELS.channels[:3])
    write_vocabulary(packed, Vocabulary(Labels.named(names), channels))
    with pytest.raises(UserError) as caught:
        begin_study(small_params())
    said = str(caught.value)
    assert "created for other data\n" in said
    assert "labels: without 1: Nucleoplasm; in addition 1: Golgi" in said
    assert "channels: 'red, green, blue, yellow' then, 'red, green, blue' now" in said
