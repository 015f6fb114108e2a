"""The note on a study that Optuna's dashboard shows."""

from pathlib import Path

import pytest
from optuna.trial import create_trial
from optuna_dashboard import get_note, save_note

from hpa.search import notes
from hpa.search.notes import write_note
from hpa.search.report import study_facts
from hpa.search.study import Study
from support.search_workspaces import make_workspace, small_params
from support.studies import mixed_study

PAGE = "http://127.0.0.1:5000/#/experiments/1/runs/abc"


@pytest.fixture
def study(packed_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(make_workspace(tmp_path / "workspace", packed_world))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(notes, "run_page", lambda _: PAGE)
    made = mixed_study(small_params(**{"search.n_trials": 2}))
    made.optuna.set_user_attr("run_id", "abc")
    return made


def test_the_note_says_what_the_study_is_and_links_its_run(study: Study) -> None:
    write_note(study, study_facts(study), "trial 1 is the best")
    note = get_note(study.optuna)
    assert note.startswith("# Search hpa\n")
    assert "**Data**: simulated images" in note
    assert "**Value**: macro F1 on val, cross-fitted" in note
    assert "| `train.learning_rate` | 0.0003 to 0.01 (log) |" in note
    assert "`python src/search.py --study_name hpa --n_trials 2`" in note
    assert f"[run of the search]({PAGE})" in note
    assert "trial 1 is the best" in note


def test_the_note_links_the_run_of_each_trial_that_the_store_has(study: Study) -> None:
    for run in ({}, {"run_id": "pending-trial-0123"}):
        study.optuna.add_trial(create_trial(value=0.1, user_attrs=run))
    write_note(study, study_facts(study))
    links = f"Runs of the trials: [0]({PAGE[:-3]}of0), [1]({PAGE[:-3]}of1)"
    assert links in get_note(study.optuna).splitlines()


def test_a_note_is_brought_up_to_date_but_one_that_a_user_edited_is_kept(study: Study) -> None:
    write_note(study, study_facts(study))
    write_note(study, study_facts(study), "a result")
    assert "a result" in get_note(study.optuna)
    save_note(study.optuna, "my own words")
    write_note(study, study_facts(study), "another result")
    assert get_note(study.optuna) == "my own words"


def test_without_the_store_the_note_has_no_link(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "run_page", lambda _: None)
    write_note(study, study_facts(study))
    assert "](" not in get_note(study.optuna)
