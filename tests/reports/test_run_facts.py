"""Facts at the top of the pages: what files say, and what earlier versions left out."""

import pytest

from hpa.metrics.origins import Origin
from hpa.reports.run_facts import RunFacts, bar_um, run_facts

NETWORK = {
    "run_id": "train7",
    "trained_at": "2026-01-02T03:04+00:00",
    "lineage": {"git.commit": "abc", "git.dirty": "true"},
    "params": {"train.fold": 0, "train.best_by": "macro_f1"},
    "history": {"step": [2, 4], "val/loss": [0.5, 0.6], "val/macro_f1": [None, 0.3]},
}
ORIGIN = Origin(
    networks=({"file": "best.keras", "path": "model/best.keras", "weights_sha256": "5" * 64},),
    thresholds_sha256="7" * 64,
)
PARAMS = {"fetch.source": "synthetic", "loss.gamma": 1.0, "train.seed": 7, "later.key": 1}
COMMITTED = {"fetch.source": "synthetic", "loss.gamma": 2.0, "train.seed": 7}


def facts(*networks: dict[str, object], run_id: str = "run9") -> RunFacts:
    return run_facts(networks, ORIGIN, PARAMS, COMMITTED, run_id=run_id)


def test_the_entries_name_data_date_code_runs_and_files() -> None:
    assert facts(NETWORK).entries == [
        (
            "Data",
            "simulated images, so the results show that the system works, not how well it reads "
            "real cells",
        ),
        ("Trained", "2026-01-02 03:04 UTC"),
        ("Code", "commit abc, with uncommitted changes"),
        ("Run", "run9"),
        ("Training", "train7"),
        ("Network", "model/best.keras, SHA-256 555555555555"),
        ("Thresholds", "SHA-256 777777777777"),
    ]


def test_a_run_that_also_trained_is_named_once() -> None:
    assert ("Run", "train7") in facts(NETWORK, run_id="train7").entries
    assert "Training" not in dict(facts(NETWORK, run_id="train7").entries)


def test_what_earlier_versions_left_out_is_unknown() -> None:
    found = run_facts([{}], Origin(), {}, {}, run_id="")
    assert set(dict(found.entries).values()) == {"unknown"}
    assert not found.changed
    assert found.unchanged.startswith("unknown")
    assert found.histories == []
    assert "pixel size is unknown" in found.no_scale_bar


def test_images_scaled_to_a_pixel_size_have_a_scale_bar() -> None:
    scaled = {"pack.image_size": 96, "pack.pixel_size_um": 0.65, "fetch.source": "local"}
    assert run_facts([{}], Origin(), scaled, {}, run_id="").image_side_um == 62.4
    stated = scaled | {"evaluate.image_side_um": 62.41}
    assert run_facts([{}], Origin(), stated, {}, run_id="").image_side_um == 62.41
    some_unknown = scaled | {"found.n_without_pixel_size": 3}
    found = run_facts([{}], Origin(), some_unknown, {}, run_id="")
    assert found.image_side_um is None
    assert "pixel size is unknown for 3 of the images" in found.no_scale_bar


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"found.types": ["uint8"], "fetch.depth": "camera", "pack.odd_size": "refuse"}, None),
        ({"fetch.sixteen_bit_white": 4095}, None),  # of earlier versions
        (
            {
                "found.types": ["float32", "uint16", "uint8"],
                "fetch.depth": "percentile",
                "fetch.percentiles": "0 99.99",
                "fetch.z": 3,
                "fetch.found_as": "green=GFP",
                "pack.framing": "content",
                "pack.odd_size": "tiles",
                "pack.pixel_size_um": 0.65,
                "pack.image_size": 96,
            },
            "float32, uint16 values to 8 bits by depth percentile (0 99.99); slices: 3; channels: "
            "green=GFP; scaled to 0.65 µm per pixel; framed on their content; divided into tiles, "
            "each of which counts as an image",
        ),
        ({"pack.odd_size": "crop"}, "cropped to the middle"),
        (
            {"pack.odd_size": "pad", "pack.pixel_size_um": 0.5, "pack.image_size": 96},
            "scaled to 0.5 µm per pixel; larger images cut to their middle, smaller ones padded "
            "with black",
        ),
        (
            {
                "found.types": ["uint16"],
                "found.of_sources": {"fetch.depth": 4095},
                "fetch.depth": "camera",
            },
            "uint16 values to 8 bits by depth 4095",
        ),
    ],
)
def test_the_entries_say_how_images_were_read_if_not_as_they_are(
    params: dict[str, object], words: str | None
) -> None:
    entries = run_facts([NETWORK], ORIGIN, PARAMS | params, {}, run_id="run9").entries
    assert dict(entries).get("Read as") == words


@pytest.mark.parametrize(
    ("lineage", "words"),
    [
        ({"git.commit": "abc", "git.dirty": "false"}, "commit abc, unchanged"),
        ({"git.commit": "abc"}, "commit abc"),
        ({"git.commit": "sha256:5eed", "git.dirty": "unknown"}, "no commit; SHA-256 5eed"),
    ],
)
def test_code_is_named_with_or_without_a_commit(lineage: dict[str, str], words: str) -> None:
    assert dict(facts(NETWORK | {"lineage": lineage}).entries)["Code"] == words


def test_only_parameters_that_differ_from_the_commit_are_listed() -> None:
    assert facts(NETWORK).changed == [("loss.gamma", "1.0", "2.0")]
    same = run_facts([NETWORK], ORIGIN, COMMITTED, COMMITTED, run_id="")
    assert (same.changed, same.unchanged) == ([], "as committed")
    absent = run_facts([NETWORK], ORIGIN, PARAMS, {}, run_id="")
    assert absent.changed == []
    assert "commit of the training is not in this repository" in absent.unchanged


def test_several_networks_name_each_date_and_the_parameters_in_which_they_differ() -> None:
    second = NETWORK | {"trained_at": None, "params": {"train.fold": 1}, "run_id": "train8"}
    found = facts(NETWORK, second, NETWORK)
    entries = dict(found.entries)
    assert entries["Trained"] == "2026-01-02 03:04 UTC; unknown"
    assert entries["Training"] == "train7; train8"
    assert ("train.fold", "0, 1, 0", "unknown") in found.changed
    assert [history.name for history in found.histories] == ["1", "2", "3"]


def test_the_kept_round_is_the_best_by_the_metric_that_chose_it() -> None:
    (history,) = facts(NETWORK).histories
    assert history.kept == 1  # the first round has no macro F1, and the lower loss decides nothing
    (by_loss,) = facts(NETWORK | {"params": {"train.best_by": "loss"}}).histories
    assert by_loss.kept == 0
    (unknown,) = facts(NETWORK | {"params": {}}).histories
    assert unknown.kept is None


@pytest.mark.parametrize("side_um", [0.003, 0.9, 20, 163.84, 999, 100_000])
def test_a_scale_bar_is_round_and_a_tenth_to_a_quarter_of_the_image(side_um: float) -> None:
    length = bar_um(side_um)
    assert 0.09 < length / side_um <= 0.25
    assert f"{length:.0e}"[0] in "125"
