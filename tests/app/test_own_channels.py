"""The page of a model of any labels and channels."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.testclient import TestClient

from hpa.app.examples import draw_examples
from hpa.app.server import make_app
from hpa.app.views import Views
from hpa.data.images.rendering import display_weights
from hpa.inference.classifier import Classifier
from hpa.vocabulary.channels import PROTEIN, Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018, LABELS
from hpa.vocabulary.labels import Labels
from support.browsers import needs_chromium
from support.model_folders import IMAGE_SIZE, make_vocabulary, write_model_folder
from support.page_forms import PARAMS, Form, png
from support.pages import PHONE, open_page, page_server
from support.worlds import draw_pixels

ODD_NAME = 'A&B <b>"x"</b>'
"""Name of the first label of `make_vocabulary`."""
expect.set_options(timeout=30_000)


def form_of(channels: Channels, name: str, seed: int = 0) -> Form:
    pixels = draw_pixels(seed, IMAGE_SIZE, len(channels))
    planes = enumerate(channels.names)
    return [(each, (f"{name}_{each}.png", png(pixels[..., k]))) for k, each in planes]


@pytest.mark.parametrize(("n_labels", "n_channels"), [(1, 1), (5, 3), (28, 4), (300, 6), (5, 8)])
def test_the_server_describes_the_model_and_answers_by_its_names(
    tmp_path: Path, n_labels: int, n_channels: int
) -> None:
    words = make_vocabulary(n_labels, n_channels)
    views = Views(
        Classifier(write_model_folder(tmp_path / "model", words)), PARAMS.serve, PARAMS.app
    )
    views.warm_up()
    client = TestClient(make_app(views, [], None), base_url="http://127.0.0.1:8000")
    model = client.get("/api/model").json()
    assert [each["name"] for each in model["channels"]] == list(words.channels.names)
    assert [each["role"] for each in model["channels"]].count(PROTEIN) == 1
    assert model["channels"][-1]["color"] == "#00ff00"
    weights = [each["weights"] for each in model["channels"]]
    np.testing.assert_allclose(weights, display_weights(words.channels))
    assert model["labels"] == words.labels.to_json()
    assert client.get("/api/examples").json() == []

    files = form_of(words.channels, "cell")
    found = client.post("/api/prediction", files=files).json()
    assert found["prediction"]["image"] == "cell"
    assert [each["label"] for each in found["prediction"]["classes"]] == list(words.labels.names)
    assert list(found["picture"]) == list(words.channels.names)
    assert list(found["maps"]["values"]) == list(words.labels.names)
    many = [*form_of(words.channels, "a"), *form_of(words.channels, "b")]
    documents = client.post("/api/predictions", files=many).json()["predictions"]
    assert [each["image"] for each in documents] == ["a", "b"]

    unknown = client.post("/api/prediction", files=[*files, ("cyan", ("cell_cyan.png", b""))])
    assert unknown.status_code == 400
    known = ", ".join(words.channels.names)
    assert unknown.json()["error"] == f"unknown field 'cyan' (fields are {known}, image_file)"
    assert unknown.json()["advice"] == "Send the channels of this model, under their names."
    if n_channels > 1:
        lacking = client.post("/api/prediction", files=files[:-1])
        assert lacking.status_code == 422
        assert lacking.json()["error"] == "no GFP channel, which shows the protein"
        assert lacking.json()["advice"] == "Add the file of the protein stain."


def test_simulated_examples_are_shown_to_models_that_know_them() -> None:
    def titles(labels: Labels, channels: Channels) -> list[str]:
        return [each.title for each in draw_examples(64, Vocabulary(labels, channels))]

    assert len(titles(LABELS, CHANNELS)) == 7
    few = Labels.named(["Nucleoli", "Nucleoplasm", "Cytosol"])
    assert titles(few, CHANNELS) == ["Nucleoli"]
    assert titles(make_vocabulary(5, 3).labels, CHANNELS) == []
    turned = Channels(CHANNELS.channels[::-1])
    other_role = [replace(each, role="other") for each in CHANNELS.channels]
    other_role[0] = replace(other_role[0], role=PROTEIN)
    for channels in (turned, Channels(tuple(other_role)), make_vocabulary(1, 4).channels):
        assert titles(HPA_2018.labels, channels) == []


@pytest.fixture(scope="module", params=[(1, 1), (5, 8), (300, 6)], ids=["1x1", "5x8", "300x6"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Vocabulary, str]]:
    words = make_vocabulary(*request.param)
    folder = write_model_folder(tmp_path_factory.mktemp("own") / "model", words)
    with page_server(folder) as (url, _):
        yield words, url


@pytest.fixture(params=[{"width": 1440, "height": 900}, PHONE], ids=["1440", "390"])
def page(
    request: pytest.FixtureRequest, browser: Browser, served: tuple[Vocabulary, str]
) -> Iterator[Page]:
    with open_page(browser, served[1], 0, viewport=request.param) as page:
        yield page
        check_width(page)


def check_width(page: Page) -> None:
    """Require that nothing needs sideways scrolling."""
    assert page.viewport_size is not None
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def write_images(folder: Path, channels: Channels, n: int) -> list[Path]:
    for number in range(n):
        for _, (name, content) in form_of(channels, f"cell{number}", number):
            (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


@pytest.mark.slow
@needs_chromium
def test_the_page_speaks_of_the_channels_and_labels_of_the_model(
    page: Page, served: tuple[Vocabulary, str], tmp_path: Path
) -> None:
    words = served[0]
    n_labels, names = len(words.labels), words.channels.names
    expect(page.locator(".slot")).to_have_count(len(names))
    expect(page.locator(".slot").last).to_contain_text("GFP: the protein")
    expect(page.locator(".examples")).to_be_hidden()
    said = page.locator("#model").inner_text()
    number = {1: "one", 8: "eight", 6: "six"}[len(names)]
    assert f"in {number}-channel microscopy images" in said
    assert (f"“{ODD_NAME}”" if n_labels == 1 else f"names {n_labels} cell structures") in said
    assert "red" not in page.locator("#one-intro").inner_text()

    page.locator("#one-files").set_input_files(write_images(tmp_path, words.channels, 1))
    expect(page.locator("#result-name")).to_have_text("cell0")
    expect(page.locator("#channels label")).to_have_count(len(names))
    assert page.locator("#labels b b, #found b").count() == 0  # names are text, not markup
    before = page.locator("#canvas").evaluate("canvas => canvas.toDataURL()")
    page.locator('[id="show-GFP"]').uncheck()
    assert page.locator("#canvas").evaluate("canvas => canvas.toDataURL()") != before
    check_width(page)
    page.locator("#labels button").first.click()
    expect(page.locator("#map-note")).to_contain_text("Orange: the strongest evidence")

    page.locator("#tab-about").click()
    expect(page.locator("#facts details li")).to_have_count(n_labels)
    first = page.locator("#facts details li").first
    if n_labels > 5:
        page.locator("#facts summary").click()
    expect(first).to_have_text(f"{ODD_NAME} (3): <i>first</i> & only")


@pytest.mark.slow
@needs_chromium
def test_found_labels_come_first_and_any_of_many_can_be_found(
    page: Page, served: tuple[Vocabulary, str], tmp_path: Path
) -> None:
    words = served[0]
    page.locator("#one-files").set_input_files(write_images(tmp_path, words.channels, 1))
    expect(page.locator("#result")).to_be_visible()
    buttons = page.locator("#labels button")
    if len(words.labels) == 300:
        assert 15 <= buttons.count() <= 30
        expect(page.locator("#labels .label").first).to_have_class("label found")
        page.get_by_label("Find a label").fill("TYPE 29")
        expect(buttons).to_have_count(11)  # 29 and 290 to 299
        page.get_by_label("Find a label").fill("a&b <")
        expect(buttons).to_have_count(1)
        expect(buttons.first).to_have_attribute("data-label", ODD_NAME)
        page.get_by_label("Find a label").fill("")
        page.get_by_role("button", name="Show all 300 labels").click()
        expect(buttons).to_have_count(300)
        check_width(page)
        page.get_by_role("button", name="Show fewer labels").click()
        assert buttons.count() <= 30
        assert "more." in page.locator("#found").inner_text()
    else:
        expect(page.locator("#label-filter")).to_be_hidden()
        expect(buttons).to_have_count(len(words.labels))


@pytest.mark.slow
@needs_chromium
def test_dropped_files_are_grouped_by_the_channels_of_the_model(
    page: Page, served: tuple[Vocabulary, str], tmp_path: Path
) -> None:
    """Capitals make no difference; a file of another channel is skipped and named.

    A model of one channel takes a file of any name.
    """
    channels = served[0].channels
    write_images(tmp_path, channels, 2)
    (tmp_path / "cell1_GFP.png").rename(tmp_path / "cell1 gfp.PNG")
    shutil.copy(tmp_path / "cell0_GFP.png", tmp_path / "cell0_cyan.png")
    page.locator("#tab-many").click()
    page.locator("#many-files").set_input_files(sorted(tmp_path.iterdir()))
    n_images = 3 if len(channels) == 1 else 2
    expect(page.locator("#rows tr")).to_have_count(n_images)
    status = page.locator("#many-status")
    expect(status).to_contain_text(f"{n_images} images;")
    if len(channels) > 1:
        expect(status).to_contain_text("1 file skipped: cell0_cyan.png (the name does not end in _")
    expect(page.locator("#rows")).not_to_contain_text("shows nothing")
    expect(page.locator("#many-examples")).to_be_hidden()
    assert page.locator("#rows .chip").count() <= 24


@pytest.mark.slow
@needs_chromium
def test_a_file_of_any_name_is_the_image_of_a_model_of_one_channel(
    page: Page, served: tuple[Vocabulary, str], tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "scan 7.png"), draw_pixels(1, 64, 1))
    page.locator("#one-files").set_input_files(tmp_path / "scan 7.png")
    if len(served[0].channels) == 1:
        expect(page.locator("#result-name")).to_have_text("scan 7")
    else:
        expect(page.locator("#one-problem")).to_contain_text("Scan 7.png: the name does not end in")
