"""Inspection page: facts, refusals and pictures, whatever the files are called."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from hpa.config.params import load_params
from hpa.data.inspection.findings import headline
from hpa.data.inspection.inspecting import Inspection, inspect
from hpa.reports.inspection_page import N_PER_LABEL, inspection_page
from support.paths import ROOT
from support.worlds import IDS, NEAR_COPIES, draw_pixels, write_csv, write_image, write_world


def inspected(*paths: Path) -> Inspection:
    return inspect([str(each) for each in paths], load_params(ROOT / "params.yaml"), n_jobs=1)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page") / "raw"
    write_world(folder)
    (folder / "train" / f"{IDS[7]}_green.png").write_bytes(b"")
    return inspection_page(inspected(folder))


def test_facts_sections_and_settings_are_on_the_page(page: str) -> None:
    for words in ("1 of 44 images would be refused", "PNG", "Near copies"):
        assert words in page
    assert re.findall(r'<section id="(\w+)"', page) == ["refused", "copies", "images", "settings"]
    assert "source: local" in page


def test_an_image_that_is_refused_is_shown_by_its_other_channels_with_the_reason(page: str) -> None:
    section = page.partition('<section id="refused"')[2].partition("</section>")[0]
    assert f"{IDS[7]}_green.png: an empty file" in section
    assert section.count("data:image/jpeg") == 1


def test_each_label_has_a_few_pictures_and_copies_stand_together(page: str) -> None:
    images = page.partition('<section id="images"')[2].partition("</section>")[0]
    parts = images.split("<h3>")[1:]
    assert parts
    assert max(part.count("<figure>") for part in parts) == N_PER_LABEL
    copies = page.partition('<section id="copies"')[2].partition("</section>")[0]
    assert all(IDS[number] in copies for pair in NEAR_COPIES.items() for number in pair)


def test_the_page_needs_no_network_and_names_cannot_become_code(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> & 'x'"
    write_image(tmp_path, "a", draw_pixels(0))
    rows = [("a", evil, *(f"a_{name}.png" for name in ("red", "green", "blue", "yellow")))]
    write_csv(tmp_path / "t.csv", ("Id", "Target", "red", "green", "blue", "yellow"), rows)
    text = inspection_page(inspected(tmp_path / "t.csv"))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert not re.search(r"""(src|href)=["']?(https?:|//|file:)""", text)


def test_an_image_of_which_nothing_is_readable_is_named_without_a_picture(tmp_path: Path) -> None:
    write_image(tmp_path, "a", draw_pixels(0))
    for path in tmp_path.glob("a_*.png"):
        path.write_bytes(path.read_bytes()[:60])
    found = inspected(tmp_path)
    assert "cannot be shown" in inspection_page(found)
    assert headline(found) in inspection_page(found)


def test_wide_fields_and_single_channels_are_drawn(tmp_path: Path) -> None:
    pixels = np.hstack([draw_pixels(n, n_channels=1) for n in range(8)])
    cv2.imwrite(str(tmp_path / "wide.tif"), pixels[..., 0])
    page = inspection_page(inspected(tmp_path))
    assert page.count("data:image/jpeg") == 1


def test_the_title_names_all_places(tmp_path: Path) -> None:
    for name in ("one plate", "other"):
        write_image(tmp_path / name, name, draw_pixels(0))
    page = inspection_page(inspected(tmp_path / "one plate", tmp_path / "other"))
    assert "<h1>Inspection of one plate, other</h1>" in page
