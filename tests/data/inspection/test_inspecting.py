"""Inspection of whole folders and tables: found, refused and suggested as fetch has it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from hpa.config.overlays import merged_params
from hpa.config.params import Params, changed_params, load_params
from hpa.data.images.decoding import read_image
from hpa.data.inspection.arrangement import ATLAS, FILES, FOLDER, PLATE_MAP, TABLE
from hpa.data.inspection.faults import BLANK, SAME
from hpa.data.inspection.findings import findings, overlay
from hpa.data.inspection.inspecting import Inspection, inspect
from hpa.data.sources.reading_rules import reading_rules
from hpa.data.sources.written_images import write_image as fetch_image
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import CHANNELS
from support.paths import ROOT
from support.worlds import IDS, NEAR_COPIES, draw_pixels, write_csv, write_image, write_world

PARAMS = load_params(ROOT / "params.yaml")


def inspected(*paths: Path, params: Params = PARAMS, **stated: Any) -> Inspection:
    keys = {key.replace("__", "."): value for key, value in stated.items()}
    return inspect([str(each) for each in paths], params, keys, n_jobs=1)


def settings(inspection: Inspection) -> dict[str, Any]:
    return {each.key: each.value for each in inspection.settings}


def text(inspection: Inspection) -> str:
    return "\n".join(findings(inspection))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "raw"
    write_world(folder)
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    paths = sorted(folder.rglob("*"))
    return {str(each): (each.stat().st_size, each.stat().st_mtime_ns) for each in paths}


def test_a_folder_in_kaggles_layout_is_described_and_left_as_it_is(world: Path) -> None:
    before = snapshot(world)
    found = inspected(world)
    assert found.arrangement.kind == FOLDER
    assert [each.name for each in found.images] == IDS
    assert found.is_usable
    assert (found.n_files, found.rules.channels) == (4 * len(IDS), CHANNELS)
    assert settings(found)["fetch.labels"] == "hpa2018"
    assert snapshot(world) == before


def test_near_copies_are_those_that_the_split_finds(world: Path) -> None:
    copies = [set(each.names) for each in inspected(world).copies]
    expected = [{IDS[5], IDS[37], IDS[38]}, {IDS[12], IDS[39]}]
    assert copies == expected
    assert NEAR_COPIES == {37: 5, 38: 5, 39: 12}
    assert "2 sets of 5 images" in text(inspected(world))


def spoil(folder: Path) -> dict[str, str]:
    """Damage files of some images; return what is expected for each."""
    train = folder / "train"
    (train / f"{IDS[0]}_green.png").write_bytes(b"")
    whole = (train / f"{IDS[1]}_red.png").read_bytes()
    (train / f"{IDS[1]}_red.png").write_bytes(whole[:200])
    (train / f"{IDS[2]}_blue.png").write_text("no image")
    cv2.imwrite(str(train / f"{IDS[3]}_yellow.png"), np.zeros((30, 40), np.uint8))
    cv2.imwrite(str(train / f"{IDS[4]}_red.png"), np.full((64, 64, 3), (9, 90, 200), np.uint8))
    return {
        IDS[0]: f"{IDS[0]}_green.png: an empty file",
        IDS[1]: f"{IDS[1]}_red.png: ",
        IDS[2]: f"{IDS[2]}_blue.png: neither a picture",
        IDS[3]: "channels of unequal size",
        IDS[4]: f"{IDS[4]}_red.png: a colour image",
    }


def test_what_fetch_refuses_is_refused_with_file_and_reason(tmp_path: Path) -> None:
    write_world(tmp_path / "raw")
    expected = spoil(tmp_path / "raw")
    found = inspected(tmp_path / "raw")
    reasons = {each.name: str(each.refusal) for each in found.refused}
    assert list(reasons) == list(expected)
    for name, start in expected.items():
        assert reasons[name].startswith(start)
        assert name in text(found)
    assert not found.is_usable


def test_fetch_and_pack_read_the_images_that_are_not_refused_and_no_other(tmp_path: Path) -> None:
    write_world(tmp_path / "raw")
    spoil(tmp_path / "raw")
    found = inspected(tmp_path / "raw")
    rules = reading_rules(found.arrangement.fetch)
    (tmp_path / "out" / "train").mkdir(parents=True)
    failed = []
    for name in IDS[:8]:
        row = {key: str(path) for key, path in found.arrangement.images[name].items()}
        try:
            fetch_image(tmp_path / "out", row | {"Id": name, "folder": "train"}, rules, [])
            read_image(tmp_path / "out" / "train", name, CHANNELS.names, 32)
        except UserError:
            failed.append(name)
    assert failed == [each.name for each in found.refused]


def test_a_refused_table_is_named_with_fetchs_words_and_its_files_are_looked_at(
    tmp_path: Path,
) -> None:
    write_world(tmp_path / "raw")
    table = tmp_path / "raw" / "train.csv"
    table.write_text(table.read_text() + f"{IDS[0]},1\n")
    (tmp_path / "raw" / "train" / "Thumbs.db").write_bytes(b"")
    found = inspected(tmp_path / "raw")
    assert not found.is_usable
    assert "duplicate Ids" in found.arrangement.problems[0]
    assert len(found.images) == len(IDS)
    assert found.arrangement.passed_over == (
        "passed over (neither a picture nor a microscope's file by its name): train/Thumbs.db",
    )


def test_files_that_a_table_lists_and_that_are_missing_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path, "a", draw_pixels(0))
    rows = [(name, "Cytosol", f"{name}_green.png") for name in ("a", "b")]
    write_csv(tmp_path / "t.csv", ("Id", "Target", "green"), rows)
    found = inspected(tmp_path / "t.csv")
    assert "files listed" in found.arrangement.problems[0]
    assert [each.name for each in found.refused] == ["b"]
    assert "b_green.png: No such file" in text(found)


def test_a_missing_file_of_all_channels_is_named_once(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ("Id", "Target", "file"), [("a", "Cytosol", "no.ome.tif")])
    assert "1 missing: line 2: " in inspected(tmp_path / "t.csv").arrangement.problems[0]


def test_channels_that_images_lack_are_named_and_made_black(tmp_path: Path) -> None:
    for n in range(3):
        write_image(tmp_path, f"a{n}", draw_pixels(n))
    (tmp_path / "a1_yellow.png").unlink()
    header = ("Id", "Target", *CHANNELS.names)
    rows = [(f"a{n}", "Cytosol", *(f"a{n}_{c}.png" for c in CHANNELS.names)) for n in range(3)]
    rows[1] = (*rows[1][:-1], "")
    write_csv(tmp_path / "t.csv", header, rows)
    found = inspected(tmp_path / "t.csv")
    assert found.is_usable
    assert settings(found)["fetch.missing_channels"] == "yellow"
    assert "yellow is absent in 1 image" in text(found)


def test_an_image_without_its_protein_is_refused(tmp_path: Path) -> None:
    for n in range(3):
        write_image(tmp_path, f"a{n}", draw_pixels(n))
    (tmp_path / "a1_green.png").unlink()
    found = inspected(tmp_path)
    assert [each.name for each in found.refused] == ["a1"]
    assert "green channel, which shows the protein" in str(found.refused[0].refusal)


def write_stack(
    path: Path, *, names: list[str], depth: int = 1, pixel_size_um: float = 0.1
) -> None:
    """Write an OME-TIFF of 12 bits."""
    pixels = draw_pixels(len(path.name), n_channels=len(names)).astype(np.uint16) * 16
    planes = np.moveaxis(pixels, -1, 0)[:, None].repeat(depth, 1)
    metadata = {
        "axes": "CZYX",
        "Channel": {"Name": names},
        "PhysicalSizeX": pixel_size_um,
        "PhysicalSizeY": pixel_size_um,
        "SignificantBits": 12,
    }
    tifffile.imwrite(path, planes, metadata=metadata, photometric="minisblack")


def test_microscopes_files_in_a_table_are_described(tmp_path: Path) -> None:
    for name in ("a (1)", "b"):
        write_stack(tmp_path / f"{name}.ome.tif", names=["DAPI", "Alexa 488"], depth=3)
    rows = [(f"{name}.ome.tif", "My thing") for name in ("a (1)", "b")]
    write_csv(tmp_path / "t.csv", ("file", "Target"), rows)
    found = inspected(tmp_path)  # the folder's one table
    assert (found.arrangement.kind, found.is_usable) == (TABLE, True)
    wanted = settings(found)
    assert wanted["fetch.found_as"] == "Alexa-488=Alexa 488"
    assert wanted["fetch.z"] == "max"
    for words in (
        "2 OME-TIFF",
        "by the names in the files' metadata",
        "16-bit, of which 12 bits are used",
        "the files state 12 bits",
        "0.1 µm",
        "3 slices in depth in 2 files",
    ):
        assert words in text(found)


@pytest.mark.parametrize("columns", [("Id", "Target", "file"), ("Id", "image")])
def test_files_of_several_channels_that_a_table_lists_elsewhere_are_opened(
    tmp_path: Path, columns: tuple[str, ...]
) -> None:
    (tmp_path / "images").mkdir()
    write_stack(tmp_path / "images" / "a_f1.ome.tif", names=["DAPI", "GFP"])
    row = ("a", "Mine", "../images/a_f1.ome.tif")
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "t.csv"
    write_csv(table, columns, [(row[0], *row[-len(columns) + 1 :])])
    found = inspected(table)
    assert (found.rules.channels.names, found.is_usable) == (("DAPI", "GFP"), True)


def test_one_scale_is_proposed_for_pixel_sizes_that_differ(tmp_path: Path) -> None:
    for name, size in (("a", 0.1), ("b", 0.2)):
        write_stack(tmp_path / f"{name}.ome.tif", names=["DAPI", "GFP"], pixel_size_um=size)
    wanted = settings(inspected(tmp_path))
    # 64 pixels of 0.2 µm are 12.8 µm, which fill 64 pixels of the input
    assert wanted["pack.image_size"] == 64
    assert wanted["pack.pixel_size_um"] == pytest.approx(0.2)
    assert wanted["pack.odd_size"] == "pad"


@pytest.mark.parametrize(("width", "odd_size"), [(80, "pad"), (160, "tiles")])
def test_fields_that_are_not_square_are_padded_or_tiled(
    tmp_path: Path, width: int, odd_size: str
) -> None:
    pixels = np.hstack([draw_pixels(n) for n in range(3)])[:, :width]
    write_image(tmp_path, "a", pixels)
    assert settings(inspected(tmp_path))["pack.odd_size"] == odd_size


def test_cells_cut_out_on_black_are_framed(tmp_path: Path) -> None:
    for n in range(4):
        write_image(tmp_path, f"a{n}", np.pad(draw_pixels(n), ((40, 40), (40, 40), (0, 0))))
    found = inspected(tmp_path)
    assert settings(found)["pack.framing"] == "content"
    assert found.faults == {}


def test_a_plate_map_is_joined_by_a_pattern_that_is_proposed(tmp_path: Path) -> None:
    for well in ("A01", "B02"):
        for field in (1, 2):
            for channel, seed in (("DAPI", 0), ("GFP", 1)):
                plane = draw_pixels(seed + field, n_channels=1)[..., 0]
                cv2.imwrite(str(tmp_path / f"exp_{well}_s{field}_{channel}.tif"), plane)
    write_csv(tmp_path / "map.csv", ("well", "label"), [("A1", "Mine"), ("B2", "Other")])
    found = inspected(tmp_path / "map.csv")
    assert (found.arrangement.kind, found.is_usable) == (PLATE_MAP, True)
    assert found.arrangement.labels is not None
    assert found.arrangement.labels.counts == [("Mine", 2), ("Other", 2)]
    assert len(set(found.arrangement.groups.values())) == 2
    assert "(?P<well>" in str(settings(found)["fetch.pattern"])


def test_a_plate_of_files_of_several_channels_has_them_from_the_metadata(tmp_path: Path) -> None:
    names = ["DAPI", "GFP", "Tubulin", "ER", "Brightfield"]
    for well in ("A01", "B02"):
        for field in (1, 2, 3):
            write_stack(tmp_path / f"plate7_{well}_f{field}.ome.tif", names=names)
    write_csv(tmp_path / "plate.csv", ("well", "label"), [("A1", "Mine"), ("B2", "Other")])
    found = inspected(tmp_path / "plate.csv")
    wanted = settings(found)
    assert (found.is_usable, len(found.images)) == (True, 6)
    assert wanted["fetch.pattern"] == r"(?P<name>.*?(?P<well>[A-P]\d{1,2}).*)"
    assert [each["name"] for each in wanted["fetch.channels"]] == names[:4]
    assert "Brightfield: left out, as no stain shows in it" in text(found)
    assert found.rules.found_as is None
    assert (wanted["pack.pixel_size_um"], "0.1 µm in all images" in text(found)) == (None, True)


def test_fields_of_one_plane_are_images_of_the_protein(tmp_path: Path) -> None:
    for well in ("A01", "B02"):
        for field in (1, 2):
            plane = draw_pixels(field, n_channels=1)[..., 0]
            cv2.imwrite(str(tmp_path / f"p_{well}_f{field}.tif"), plane)
    write_csv(tmp_path / "plate.csv", ("well", "label"), [("A1", "Mine"), ("B2", "Other")])
    found = inspected(tmp_path)
    assert (found.is_usable, len(found.images)) == (True, 4)
    assert found.rules.channels.names == ("protein",)


def test_a_table_of_the_atlas_names_no_files(tmp_path: Path) -> None:
    rows = [(f"10580_1610_C1_{n}", "25 0") for n in (1, 2)]
    write_csv(tmp_path / "hpa.csv", ("Id", "Target"), rows)
    found = inspected(tmp_path / "hpa.csv")
    assert (found.arrangement.kind, found.n_files, found.is_usable) == (ATLAS, 0, True)
    assert settings(found)["fetch.source"] == "hpa"
    assert set(found.arrangement.groups.values()) == {"10580"}


def test_files_without_labels_are_inspected_as_predict_finds_them(tmp_path: Path) -> None:
    write_image(tmp_path / "plate 7", "cell (3)", draw_pixels(0))
    for n in range(50):
        (tmp_path / f"note{n}.txt").write_text("")
    found = inspected(tmp_path)
    assert (found.arrangement.kind, found.is_usable) == (FILES, True)
    assert [each.name for each in found.images] == ["plate 7/cell (3)"]
    assert "note0.txt, note1.txt" in text(found)
    assert "and 45 more" in " ".join(text(found).split())
    assert "there are no labels" in text(found)


def test_a_table_of_subcellportable_has_images_and_no_labels(tmp_path: Path) -> None:
    write_image(tmp_path, "x", draw_pixels(0))
    header = ("r_image", "y_image", "b_image", "g_image", "output_prefix")
    files = [f"x_{name}.png" for name in ("red", "yellow", "blue", "green")]
    write_csv(tmp_path / "path_list.csv", header, [(*files, "out_x_")])
    found = inspected(tmp_path / "path_list.csv")
    assert found.is_usable
    assert found.rules.channels == CHANNELS
    assert len(found.images) == 1


def test_an_empty_folder_and_a_missing_path_are_mistakes(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match="there is no image at"):
            inspected(path)


def test_a_folder_without_permission_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)  # root, who runs tests, may read everything
    with pytest.raises(UserError, match="Permission denied"):
        inspected(tmp_path)


def test_files_of_several_folders_are_inspected_together(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / name, name, draw_pixels(0))
    assert [each.name for each in inspected(tmp_path / "a", tmp_path / "b").images] == ["a", "b"]


def test_several_tables_are_one_set_whose_copies_are_found_across(
    world: Path, tmp_path: Path
) -> None:
    write_image(tmp_path, "copy", draw_pixels(5))
    files = [f"copy_{name}.png" for name in CHANNELS.names]
    write_csv(tmp_path / "t.csv", ("Id", "Target", *CHANNELS.names), [("copy", "0", *files)])
    found = inspected(world, tmp_path / "t.csv")
    assert found.is_usable
    assert len(found.images) == len(IDS) + 1
    assert {"raw/cell-005", "t/copy"} <= set(found.copies[0].names)
    wanted = settings(found)
    assert wanted["fetch.source"] == "several"
    assert [each["name"] for each in wanted["fetch.sources"]] == ["raw", "t"]
    changed_params(PARAMS, wanted)  # they contradict nothing


def test_tables_of_other_channels_are_no_set(world: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a_gfp.png"), draw_pixels(0)[..., 0])
    write_csv(tmp_path / "t.csv", ("Id", "Target", "gfp"), [("a", "Cytosol", "a_gfp.png")])
    found = inspected(world, tmp_path / "t.csv")
    assert "their channels differ" in found.arrangement.problems[0]


def test_tables_and_loose_files_are_not_inspected_together(world: Path, tmp_path: Path) -> None:
    write_image(tmp_path, "a", draw_pixels(0))
    with pytest.raises(UserError, match="not inspected together"):
        inspected(world, tmp_path)


def test_stated_parameters_are_kept_and_written_as_stated(tmp_path: Path) -> None:
    write_stack(tmp_path / "a.ome.tif", names=["DAPI", "GFP", "Cy5"])
    channels = [
        {"name": "er", "role": "other", "color": "red"},
        {"name": "mine", "role": "protein", "color": "green"},
    ]
    found = inspected(tmp_path, fetch__channels=channels, fetch__found_as="er=Cy5; mine=2")
    assert found.is_usable
    assert found.rules.channels.names == ("er", "mine")
    wanted = settings(found)
    assert (wanted["fetch.channels"], wanted["fetch.found_as"]) == (channels, "er=Cy5; mine=2")
    assert "found_as: er=Cy5; mine=2  # as stated" in overlay(found, tmp_path / "x.yaml")


def test_the_lines_hold_what_the_files_need_even_if_params_yaml_has_it_already(
    tmp_path: Path,
) -> None:
    write_image(tmp_path, "a", np.hstack([draw_pixels(n) for n in range(3)]))
    for well in ("A01", "B02"):
        write_image(tmp_path, f"p_{well}", np.hstack([draw_pixels(n) for n in range(3)]))
    write_csv(tmp_path / "plate.csv", ("well", "label"), [("A1", "Vesicle"), ("B2", "Other")])
    first = settings(inspected(tmp_path / "plate.csv"))
    again = changed_params(PARAMS, first)
    assert first["pack.odd_size"] == "tiles"
    assert settings(inspected(tmp_path / "plate.csv", params=again)) == first


def test_a_pattern_of_other_files_is_replaced_and_one_that_is_stated_kept(
    world: Path, tmp_path: Path
) -> None:
    of_plate = r"(?P<name>.*?(?P<well>[A-P]\d{1,2}).*)"
    other = changed_params(PARAMS, {"fetch.pattern": of_plate})
    for path in (world, world / "train"):
        found = inspected(path, params=other)
        assert (len(found.images) > 1, found.is_usable) == (True, True)
        assert settings(found)["fetch.pattern"] is None
    own = "(?P<channel>[a-z]+)_of_(?P<name>.+)"
    for channel in CHANNELS.names:
        cv2.imwrite(str(tmp_path / f"{channel}_of_x.png"), draw_pixels(1)[..., 0])
    for params, stated in (
        (changed_params(PARAMS, {"fetch.pattern": own}), {}),
        (PARAMS, {"fetch__pattern": own}),
    ):
        found = inspected(tmp_path, params=params, **stated)
        assert ([each.name for each in found.images], found.is_usable) == (["x"], True)
        assert settings(found)["fetch.pattern"] == own


def test_several_sources_of_other_data_are_replaced(tmp_path: Path) -> None:
    write_world(tmp_path / "raw")
    sources = [{"name": "a", "source": "kaggle", "path": "x"}]
    fetch = {"fetch.source": "several", "fetch.sources": sources}
    found = inspected(tmp_path / "raw", params=changed_params(PARAMS, fetch))
    assert (settings(found)["fetch.source"], settings(found)["fetch.sources"]) == ("local", None)


def test_equal_and_blank_channels_deserve_a_look(tmp_path: Path) -> None:
    pixels = draw_pixels(0)
    pixels[..., 0] = 0
    pixels[..., 3] = pixels[..., 1]
    write_image(tmp_path, "a", pixels)
    found = inspected(tmp_path)
    assert found.faults == {BLANK: [("a", "red")], SAME: [("a", "green and yellow")]}
    assert found.is_usable


def test_three_hundred_labels_are_counted_and_the_text_stays_short(tmp_path: Path) -> None:
    write_image(tmp_path, "a", draw_pixels(0))
    rows = [
        (f"a{n}", f"Structure {n} of mine", *(f"a_{name}.png" for name in CHANNELS.names))
        for n in range(300)
    ]
    write_csv(tmp_path / "t.csv", ("Id", "Target", *CHANNELS.names), rows)
    found = inspected(tmp_path / "t.csv")
    lines = findings(found)
    assert "300: " in text(found)
    assert len(lines) < 45
    assert max(map(len, lines)) <= 100 + len(str(tmp_path))


def test_processes_measure_the_same_as_one(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = inspected(world)
    monkeypatch.setattr("hpa.data.inspection.reading_all.ALONE_S", -1)
    monkeypatch.setattr("hpa.data.inspection.reading_all.WORTH_S", -1)
    shared = inspect([str(world)], PARAMS, n_jobs=2)
    assert [asdict(each) for each in shared.images] == [asdict(each) for each in alone.images]


def test_the_overlay_is_read_back_with_its_values(world: Path, tmp_path: Path) -> None:
    found = inspected(world)
    path = tmp_path / "own (2).yaml"
    path.write_text(overlay(found, path), encoding="utf-8")
    _, merged = merged_params(ROOT / "params.yaml", path)
    values = merged.flat()
    assert {key: values[key] for key in settings(found)} == settings(found)
