"""Report, quality page and model card in headless Chromium, opened as files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect

from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.data.splits.splitting import label_counts, write_split
from hpa.reports.data_quality import Quality, channel_drift, inspect
from hpa.reports.data_quality_page import quality_page
from hpa.reports.gallery import GalleryImage, write_gallery
from hpa.reports.grad_cam_gallery import KINDS, choose_examples, draw_example
from hpa.reports.model_card import card_page, model_card
from hpa.reports.test_report import report_page
from hpa.vocabulary import hpa2018
from hpa.vocabulary.channels import Channel, Channels
from hpa.vocabulary.document import Vocabulary
from support.browsers import needs_chromium
from support.evaluations import FACTS, PROVENANCE, labels_of, scores, small_evaluation
from support.worlds import draw_pixels

LABELS = hpa2018.LABELS.names
N_LABELS = len(LABELS)

pytestmark = [pytest.mark.slow, needs_chromium]
DESK, PHONE = ({"width": 1440, "height": 900}, {"width": 390, "height": 844})
SIZES = {"desk": {"viewport": DESK}, "phone": {"viewport": PHONE, "is_mobile": True}}
MAX_HEIGHT_PX = {"report": 17_000, "quality": 12_000, "model_card": 6_000}
LONG = "a-name-without-a-single-place-to-break-it-" * 6
CHANGED = [("score.models", LONG, "model/best.keras"), ("loss.gamma", "1.0", "<i>2.0</i>")]


@pytest.fixture(scope="module")
def pages(packed_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pages of a run with all 84 pictures, unusual parameters and long names."""
    folder = tmp_path_factory.mktemp("pages")
    evaluation, facts = (
        small_evaluation(),
        replace(FACTS, changed=CHANGED, unchanged="", image_side_um=163.84, no_scale_bar=""),
    )
    picture = draw_example(draw_pixels(3, 96), np.ones((3, 3), np.float32), hpa2018.CHANNELS)
    examples = [
        GalleryImage(label, kind, LONG, (label, 1), (2,), 0.2, 0.5, f"{label}-{number}.jpg")
        for label in range(N_LABELS)
        for number, kind in enumerate(KINDS)
    ]
    write_gallery(folder / "gallery", [(each, picture) for each in examples], note="")
    index = read_index(packed_world)
    index["split"] = np.resize(np.array(["train", "val", "test"], dtype=object), len(index))
    index.loc[~index["labelled"], "split"] = "unlabelled"
    write_split(folder / "split", index, hpa2018.LABELS, index[["Id", "split"]].assign(group=0))
    found = inspect(packed_world, folder / "split", hash_distance=6)
    found.index.loc[:20, "blank"] = "green"
    found.index.loc[3, "Id"] = LONG
    card = model_card(evaluation, [PROVENANCE], facts)
    for name, text in {
        "report": report_page(evaluation, folder / "gallery", facts, hpa2018.CHANNELS),
        "quality": quality_page(found, PackedImages(packed_world), facts),
        "model_card": card_page(card),
    }.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def open_page(browser: Browser, path: Path, size: str) -> Page:
    """Open a file; a request to anywhere else, or an error of a script, fails the test."""
    page = browser.new_context(**SIZES[size]).new_page()  # type: ignore[arg-type]
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on("console", lambda message: pytest.fail(message.text))
    page.route(lambda url: not url.startswith(("file:", "data:")), lambda _: pytest.fail("network"))
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("name", MAX_HEIGHT_PX)
def test_a_page_fits_its_width_and_is_not_endless(
    browser: Browser, pages: Path, name: str, size: str
) -> None:
    page = open_page(browser, pages / f"{name}.html", size)
    width = SIZES[size]["viewport"]["width"]  # type: ignore[index]
    shape = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollHeight]")
    assert shape[0] == width
    assert page.evaluate("innerWidth") == width  # a phone would zoom out for wider content
    assert shape[1] < MAX_HEIGHT_PX[name]
    beside = """() => [...document.querySelectorAll("body *")].filter(each =>
        !each.closest(".wide, dialog") && each.getBoundingClientRect().right > innerWidth + 1
    ).map(each => each.outerHTML.slice(0, 80))"""
    assert page.evaluate(beside) == []


@pytest.mark.parametrize("name", MAX_HEIGHT_PX)
def test_the_contents_lead_to_every_section(browser: Browser, pages: Path, name: str) -> None:
    page = open_page(browser, pages / f"{name}.html", "phone")
    links = page.get_by_role("navigation", name="Contents").get_by_role("link")
    headings = page.locator("h2:not(nav h2)")
    assert links.count() == headings.count() > 5
    for number in range(links.count()):
        links.nth(number).click()
        expect(headings.nth(number)).to_be_in_viewport()
        assert headings.nth(number).inner_text().startswith(links.nth(number).inner_text())
        links.nth(number).evaluate("() => scrollTo(0, 0)")


def test_the_top_of_the_first_screen_says_what_made_the_result(
    browser: Browser, pages: Path, size: str
) -> None:
    page = open_page(browser, pages / "report.html", size)
    for text in ("simulated images", "commit deadbeef, with uncommitted changes", "run7"):
        expect(page.get_by_text(text).first).to_be_in_viewport()
    row = page.get_by_role("row", name="loss.gamma")
    assert row.inner_text().split() == ["loss.gamma", "1.0", "<i>2.0</i>"]


def test_a_table_wider_than_the_phone_says_so_and_scrolls_by_keyboard(
    browser: Browser, pages: Path
) -> None:
    for name in ("report", "quality"):
        page = open_page(browser, pages / f"{name}.html", "phone")
        regions = page.locator(".wide")
        scrolling = 0
        for number in range(regions.count()):
            region = regions.nth(number)
            is_wider = region.evaluate("each => each.scrollWidth > each.clientWidth + 1")
            hint = region.locator("xpath=preceding-sibling::p[1]")
            assert hint.is_visible() == is_wider
            assert (region.get_attribute("tabindex") == "0") == is_wider
            scrolling += is_wider
        assert scrolling
        wide = page.locator(".wide[tabindex='0']").last
        wide.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("each => each.scrollLeft > 0", arg=wide.element_handle())
        first = wide.locator("tbody th").first
        assert first.bounding_box()["x"] >= 0  # type: ignore[index]  # its name stays in sight
    desk = open_page(browser, pages / "report.html", "desk")
    assert desk.locator("#classes .hint").is_hidden()


def test_every_table_has_a_caption_and_headers_of_rows_and_columns(
    browser: Browser, pages: Path
) -> None:
    for name in ("report", "quality"):
        page = open_page(browser, pages / f"{name}.html", "desk")
        tables = page.locator("table")
        for number in range(tables.count()):
            table = tables.nth(number)
            assert table.locator("caption").inner_text().strip()
            assert table.locator("thead th:not([scope=col])").count() == 0
            assert table.locator("tbody th[scope]").count() > 0
        assert page.locator("img:not([alt]), img[alt='']").count() == 0


@pytest.mark.parametrize("name", ["report", "quality"])
def test_a_picture_enlarges_by_click_and_by_keyboard_and_closes_by_escape(
    browser: Browser, pages: Path, name: str, size: str
) -> None:
    page = open_page(browser, pages / f"{name}.html", size)
    dialog, pictures = page.get_by_role("dialog"), page.locator("button.enlarge:visible")
    first, last = pictures.first, pictures.last
    for picture in (first, last):
        small = picture.locator("img").bounding_box()
        picture.click()
        expect(dialog).to_be_visible()
        large = dialog.locator("img").bounding_box()
        assert small is not None
        assert large is not None
        window = SIZES[size]["viewport"]["width"]  # type: ignore[index]
        assert large["width"] >= min(1.4 * small["width"], 0.9 * window)
        assert dialog.locator("p").inner_text()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
    first.focus()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    assert first.evaluate("each => each === document.activeElement")


def test_pictures_fold_on_a_phone_and_a_scale_bar_keeps_its_length_when_enlarged(
    browser: Browser, pages: Path
) -> None:
    phone = open_page(browser, pages / "report.html", "phone")
    assert phone.locator("details[open]").count() == 1
    phone.get_by_role("button", name="Unfold all").click()
    assert phone.locator("details[open]").count() == len(LABELS)
    desk = open_page(browser, pages / "report.html", "desk")
    picture = desk.locator("#gallery button.enlarge").first
    expect(picture.locator(".scale")).to_have_text("20 µm")
    share = """each => {
        const width = name => each.querySelector(name).getBoundingClientRect().width;
        return width(".scale") / width("img");
    }"""
    on_page = picture.evaluate(share)
    assert on_page == pytest.approx(20 / 163.84 * 96 / (3 * 96 + 4), rel=0.02)
    picture.click()
    assert desk.locator("dialog .picture").evaluate(share) == pytest.approx(on_page, rel=0.02)


def test_paper_shows_all_pictures_and_no_controls(browser: Browser, pages: Path) -> None:
    page = open_page(browser, pages / "report.html", "phone")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details[open]").count() == len(LABELS)
    for control in ("nav", ".unfold", ".hint", "a.up"):
        assert page.locator(f"{control}:visible").count() == 0
    assert page.pdf()


@pytest.fixture(scope="module", params=[1, 5, 300])
def pages_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with report, card and quality page of a laboratory with its own vocabulary."""
    n, folder = request.param, tmp_path_factory.mktemp("classes")
    labels, channels = labels_of(n), CHANNELS_OF[n]
    evaluation, test = small_evaluation(labels), scores("test", 2, labels)
    examples = [
        (
            GalleryImage(
                label, kind, str(test.ids[row]), (), (0,), 0.2, 0.5, f"{label}-{kind}.jpg"
            ),
            draw_example(draw_pixels(row, 96, len(channels)), np.ones((3, 3)), channels),
        )
        for label, kind, row in choose_examples(
            test.labelled(), evaluation.test.y_pred, n_per_label=1, seed=0
        )
    ]
    write_gallery(folder / "gallery", examples, note="")
    vocabulary = Vocabulary(labels, channels)
    provenance = PROVENANCE | {"vocabulary": vocabulary.to_json()}
    card = model_card(evaluation, [provenance], FACTS)
    quality, images = quality_of(vocabulary)
    for name, text in {
        "report": report_page(evaluation, folder / "gallery", FACTS, channels),
        "quality": quality_page(quality, images, FACTS),
        "model_card": card_page(card),
    }.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


CHANNELS_OF = {
    1: Channels((Channel("gfp", "protein", "green"),)),
    5: Channels((Channel("gfp", "protein", "#11ee33"), Channel("dapi", "nucleus", "blue"))),
    300: Channels(
        (
            Channel("gfp", "protein", "green", "tagged protein"),
            Channel("dapi", "nucleus", "blue"),
            *(Channel(color, "other", color) for color in ("red", "cyan", "magenta", "white")),
        )
    ),
}


def quality_of(vocabulary: Vocabulary) -> tuple[Quality, PackedImages]:
    """Return the tables of 30 images, of which one is blank and two are alike."""
    labels, channels, n_rows = vocabulary.labels, vocabulary.channels, 30
    random, split = np.random.default_rng(0), np.resize(["train", "val", "test"], n_rows)
    targets = [
        labels.format(np.flatnonzero(row).tolist())
        for row in random.random((n_rows, len(labels))) < 0.4
    ]
    index = pd.DataFrame({"Id": [f"i{row}" for row in range(n_rows)], "split": split, "blank": ""})
    index["Target"], index["picture"] = targets, [0, *range(n_rows - 1)]
    index.loc[3, "blank"] = channels.names[-1]
    for name in channels.names:
        index[f"{name}_mean"], index[f"{name}_std"] = random.random(n_rows) / 9, 0.1
        index[f"{name}_saturated"] = 0.0
    counts = label_counts(index, labels, index)
    quality = Quality(index, counts, channel_drift(index, channels), vocabulary)

    class Images:
        def read(self, rows: np.ndarray) -> np.ndarray:
            return np.stack([draw_pixels(int(row), 48, len(channels)) for row in rows])

    return quality, Images()  # type: ignore[return-value]


@pytest.mark.parametrize("name", MAX_HEIGHT_PX)
def test_pages_of_1_5_and_300_labels_open_fit_and_are_bounded(
    browser: Browser, pages_of: Path, name: str, size: str
) -> None:
    path = pages_of / f"{name}.html"
    assert path.stat().st_size < 6_000_000
    page = open_page(browser, path, size)
    width = SIZES[size]["viewport"]["width"]  # type: ignore[index]
    shape = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollHeight]")
    assert shape[0] == width
    assert shape[1] < 21_000
    assert " 1 classes" not in page.inner_text("body")


def test_the_report_of_many_labels_can_be_sorted_and_read_by_keyboard(
    browser: Browser, pages_of: Path
) -> None:
    page = open_page(browser, pages_of / "report.html", "desk")
    rows = page.locator("#classes tbody tr")
    region = page.locator("#classes .wide")
    is_tall = rows.count() == 300
    assert (region.get_attribute("tabindex") == "0") == is_tall
    assert region.bounding_box()["height"] < 900  # type: ignore[index]
    page.locator("#classes th button", has_text="images").first.click()
    support = [
        int(each) for each in page.locator("#classes tbody td:nth-child(2)").all_inner_texts()
    ]
    assert support == sorted(support, reverse=True)
    if is_tall:
        region.focus()
        page.keyboard.press("End")
        page.wait_for_function("each => each.scrollTop > 1000", arg=region.element_handle())
        box = page.locator("#classes thead th").first.bounding_box()
        top = region.bounding_box()
        assert box is not None
        assert top is not None
        assert abs(box["y"] - top["y"]) < 60  # the heading stays in sight
        assert (
            page.locator("#curves figure").count() == page.locator("#gallery details").count() == 40
        )
        expect(page.locator("#curves .note")).to_contain_text("the 40 of 300 classes with the most")
        expect(page.locator("#confusions")).to_contain_text(
            "the 40 of 300 classes that are confused"
        )
