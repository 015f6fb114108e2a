"""fetch.sources: each entry is checked as section fetch is, before anything is fetched."""

from pathlib import Path
from typing import Any

import pytest

from hpa.config.params import Params, load_params
from hpa.config.source_list import stated_sources
from hpa.errors import UserError
from support.paths import ROOT

KAGGLE = {"name": "competition", "source": "kaggle"}
PLATE = {"name": "plate_7", "source": "local", "path": "own/plate7"}


def load(*sources: Any, **changes: Any) -> Params:
    overrides = {f"fetch.{key}": value for key, value in changes.items()}
    stated = {"fetch.source": "several", "fetch.sources": list(sources)}
    return load_params(ROOT / "params.yaml", stated | overrides)


def test_an_entry_replaces_the_values_of_the_section() -> None:
    plate = PLATE | {"z": "max", "pixel_size_um": "1e-1", "missing_channels": "yellow"}
    fetch = load(KAGGLE, plate, missing_channels="red", depth="bits").fetch
    first, second = stated_sources(fetch).values()
    assert list(stated_sources(fetch)) == ["competition", "plate_7"]
    assert (first.source, first.missing_channels, first.depth) == ("kaggle", "red", "bits")
    assert (second.source, second.path, second.z) == ("local", "own/plate7", "max")
    assert (second.pixel_size_um, second.missing_channels) == (0.1, "yellow")
    assert (second.depth, second.sources) == ("bits", None)


def test_one_error_lists_what_is_wrong_with_every_entry() -> None:
    with pytest.raises(UserError) as caught:
        load(
            {"name": "plate 7", "source": "lokal", "path": 7, "dept": "bits"},
            {"source": "local", "labels": "from_table"},
            {"name": "a", "source": "several", "z": 0},
            {"name": "a", "source": "hpa", "path": "own/a.tsv", "channels": "hpa2018"},
            {"name": "b", "source": "hpa", "path": "own/a.tsv", "missing_channels": "green"},
            {"name": "c", "source": "local", "path": "own/c", "label_map": "names.txt"},
        )
    said = str(caught.value)
    for line in (
        "[0].name: expected letters, digits, hyphens and underscores, received 'plate 7'",
        "[0].source: expected 'synthetic', 'kaggle', 'hpa' or 'local', received 'lokal'",
        "[0].path: expected a text, received 7",
        "[0].dept: unknown; did you mean depth?",
        "[1].name: expected letters, digits, hyphens and underscores, received nothing",
        "[1].path: missing; expected a path, which source 'local' reads",
        "[1].labels: expected in section fetch, as it holds for all sources, received 'from_table'",
        "[2].name: expected another name for each source, received 'a' twice",
        "[2].source: expected 'synthetic', 'kaggle', 'hpa' or 'local', received 'several'",
        "[2].z: expected refuse, max, or the number of a slice from 1, received 0",
        "[3].name: expected another name for each source, received 'a' twice",
        "[3].channels: expected in section fetch, as it holds for all sources, received 'hpa2018'",
        "[4].path: expected a table (.csv) if fetch.source is 'hpa', received 'own/a.tsv'",
        "[4].missing_channels: expected null, or some of red blue yellow (the protein cannot be "
        "missing), received 'green'",
        "[5].label_map: expected atlas, a table (.csv) of from and to, or several separated by ;, "
        "received 'names.txt'",
    ):
        assert f"\n    fetch.sources{line}\n" in said, line


@pytest.mark.parametrize("sources", [None, [], ["plate7"], "plate7", {"name": "a"}])
def test_several_needs_a_list_of_sources(sources: Any) -> None:
    with pytest.raises(UserError, match=r"fetch\.sources: expected a list such as \[\{name"):
        load(sources=sources)


def test_sources_of_four_channels_are_refused_beside_channels_of_ones_own() -> None:
    own = [{"name": "gfp", "role": "protein", "color": "green"}]
    assert load(PLATE, channels=own).fetch.channels == own
    with pytest.raises(UserError, match=r"\[1\]\.channels: expected hpa2018 if fetch\.source is"):
        load(PLATE, KAGGLE, channels=own)


def test_one_vocabulary_holds_for_the_competition_too() -> None:
    assert load(KAGGLE, PLATE, labels="from_table", label_map="atlas; own/labels/a.csv")
    with pytest.raises(UserError, match=r"fetch\.labels: expected hpa2018, from_table, or a table"):
        load(KAGGLE, PLATE, labels="names")
    with pytest.raises(UserError, match=r"fetch\.label_map: expected null if fetch\.source is 'k"):
        load_params(ROOT / "params.yaml", {"fetch.source": "kaggle", "fetch.label_map": "atlas"})


def test_the_list_is_written_in_params_yaml_as_yaml(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("source: synthetic ", "source: several").replace(
        "  sources: null", "  sources:\n    - {name: a, source: local, path: own/a, depth: 4095}\n#"
    )
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    (only,) = stated_sources(load_params(tmp_path / "params.yaml").fetch).values()
    assert (only.path, only.depth) == ("own/a", 4095)
