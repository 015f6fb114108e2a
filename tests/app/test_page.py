"""The page in headless Chromium, served by src/app.py."""

import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from hpa.data.images.decoding import read_image
from hpa.inference.classifier import Classifier
from hpa.system.files import read_json, write_json
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from support.browsers import needs_chromium
from support.page_forms import CARD, form, ome_tiff, tiff
from support.pages import PHONE, open_page, page_server
from support.paths import ROOT
from support.worlds import draw_pixels, write_image
from support.zarr_images import write_ome_zarr

pytestmark = [pytest.mark.slow, needs_chromium]
N_IMAGES, GROUP = 5, 2
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def folder(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with its card."""
    folder = shutil.copytree(model_dir, tmp_path_factory.mktemp("served") / "model")
    origin = read_json(folder / "provenance.json") | {"weights_sha256": "5eed"}
    write_json(folder / "provenance.json", origin)
    (folder / "model_card.html").write_text(f"{CARD}<p>weights: sha256 5eed</p>")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = tmp_path_factory.mktemp("plate")
    for number in range(N_IMAGES):
        write_image(images, f"cell{number}", draw_pixels(number))
    return images


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[tuple[str, int]]:
    """Address and process id of a running page."""
    options = ("--images_per_request", str(GROUP), "--max_request_mb", "1")
    with page_server(folder, *options) as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: tuple[str, int]) -> Iterator[Page]:
    with open_page(browser, server[0], 7, viewport={"width": 1366, "height": 850}) as page:
        yield page


@pytest.fixture
def phone(browser: Browser, server: tuple[str, int]) -> Iterator[Page]:
    with open_page(browser, server[0], 7, viewport=PHONE, is_mobile=True, has_touch=True) as page:
        yield page


def files_of(images: Path, name: str) -> list[Path]:
    return sorted(images.glob(f"{name}_*.png"))


def shown(page: Page) -> str:
    return str(page.locator("#canvas").evaluate("canvas => canvas.toDataURL()"))


def upload(page: Page, files: list[Path]) -> None:
    page.locator("#one-files").set_input_files(files)


def label(page: Page, name: str) -> Locator:
    return page.locator(f'#labels button[data-label="{name}"]')


def expected(folder: Path, images: Path, name: str) -> np.ndarray:
    classifier = Classifier(folder)
    pixels = read_image(images, name, CHANNELS.names, classifier.image_size)
    return classifier.probabilities(pixels[None], batch_size=1)[0]


def test_an_upload_gets_the_classifier_s_probabilities_and_a_csv_of_them(
    page: Page, images: Path, folder: Path
) -> None:
    with page.expect_response("**/api/prediction") as response:
        upload(page, files_of(images, "cell1"))
    expect(page.locator("#result-name")).to_have_text("cell1")
    y_prob = expected(folder, images, "cell1")
    prediction = response.value.json()["prediction"]
    found = {each["label"]: each["probability"] for each in prediction["classes"]}
    np.testing.assert_allclose([found[name] for name in LABELS.names], y_prob, atol=1e-5)
    for number in (0, 7, 27):
        expect(label(page, LABELS.names[number])).to_contain_text(f"{y_prob[number]:.2f}")
    with page.expect_download() as download:
        page.locator("#one-csv").click()
    assert download.value.suggested_filename == "cell1.csv"
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert [(row["label"], row["probability"]) for row in rows] == [
        (name, f"{found[name]:.10g}") for name in LABELS.names
    ]


def test_clicking_a_label_shows_its_map_and_channels_can_be_switched(
    page: Page, images: Path
) -> None:
    upload(page, files_of(images, "cell1"))
    expect(page.locator("#result")).to_be_visible()
    colours = shown(page)
    page.get_by_label("nucleus", exact=True).uncheck()
    without_nucleus = shown(page)
    assert without_nucleus != colours
    page.locator("#labels button").first.click()
    name = page.locator("#labels button").first.get_attribute("data-label")
    with_map = shown(page)
    assert with_map not in (colours, without_nucleus)
    canvas = page.locator("#canvas")
    expect(canvas).to_have_attribute("aria-label", re.compile(f"Grad-CAM map of {name}"))
    assert orange_share(page) > 0.01
    page.get_by_role("button", name="Back to the colour picture").click()
    assert shown(page) == without_nucleus
    page.get_by_label("nucleus", exact=True).check()
    assert shown(page) == colours


def orange_share(page: Page) -> float:
    """Return the share of the canvas that is tinted: more red than blue, unlike grey."""
    return float(
        page.locator("#canvas").evaluate(
            """canvas => {
                const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                let n = 0;
                for (let k = 0; k < data.length; k += 4) n += data[k] > data[k + 2] + 20;
                return 4 * n / data.length;
            }"""  # noqa: E501
        )
    )


def test_files_with_any_name_can_be_chosen_by_slot(page: Page, images: Path) -> None:
    for channel in ("red", "blue", "yellow", "green"):
        content = (images / f"cell2_{channel}.png").read_bytes()
        file = {"name": f"scan of {channel} 7.png", "mimeType": "image/png", "buffer": content}
        page.locator(f"#slot-{channel}").set_input_files(file)  # type: ignore[arg-type]
    expect(page.locator("#result-name")).to_have_text("scan of red 7")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.locator("#result")).to_be_hidden()


def wait_for(page: Page, held: list[Route], n_requests: int) -> None:
    """Wait up to 30 seconds until so many requests are held back."""
    for _ in range(3000):
        if len(held) == n_requests:
            return
        page.wait_for_timeout(10)
    raise AssertionError(f"{len(held)} of {n_requests} requests arrived")


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "in reverse"])
def test_slots_name_the_image_after_the_first_file_however_late_its_name_arrives(
    page: Page, images: Path, order: int
) -> None:
    held: list[Route] = []
    page.route("**/api/names", lambda route: held.append(route))
    for n, channel in enumerate(CHANNELS.names, start=1):
        content = (images / f"cell2_{channel}.png").read_bytes()
        file = {"name": f"scan of {channel} 7.png", "mimeType": "image/png", "buffer": content}
        page.locator(f"#slot-{channel}").set_input_files(file)  # type: ignore[arg-type]
        wait_for(page, held, n)
    for route in held[::order]:
        route.continue_()
    expect(page.locator("#result-name")).to_have_text(f"scan of {CHANNELS.names[0]} 7")


def test_files_taken_one_after_the_other_are_shown_in_that_order(page: Page, images: Path) -> None:
    held: list[Route] = []
    page.route("**/api/names", lambda route: held.append(route))
    upload(page, files_of(images, "cell1"))
    upload(page, files_of(images, "cell2"))
    wait_for(page, held, 1)
    held[0].continue_()
    wait_for(page, held, 2)
    held[1].continue_()
    expect(page.locator("#result-name")).to_have_text("cell2")


def test_files_cleared_before_their_names_arrive_stay_cleared(page: Page, images: Path) -> None:
    green = images / "cell2_green.png"
    page.locator("#slot-green").set_input_files(green)
    expect(page.get_by_role("button", name="Name the structures")).to_be_enabled()
    held: list[Route] = []
    page.route("**/api/names", lambda route: held.append(route))
    upload(page, files_of(images, "cell1"))
    wait_for(page, held, 1)
    page.get_by_role("button", name="Clear", exact=True).click()
    with page.expect_response("**/api/names"):
        held[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#slots .full")).to_have_count(0)
    expect(page.locator("#result")).to_be_hidden()


def test_a_slot_says_that_the_server_does_not_respond(
    browser: Browser, server: tuple[str, int], images: Path
) -> None:
    page = browser.new_page()  # one that may log an error
    page.goto(server[0])
    page.route("**/api/names", lambda route: route.abort())
    page.locator("#slot-green").set_input_files(images / "cell2_green.png")
    expect(page.locator("#one-problem")).to_contain_text("The server does not respond")
    expect(page.get_by_role("button", name="Name the structures")).to_be_disabled()
    page.close()


def test_a_cleared_image_does_not_return_with_a_late_answer(page: Page, images: Path) -> None:
    held: list[Route] = []
    page.route("**/api/prediction", lambda route: held.append(route))
    upload(page, files_of(images, "cell2"))
    wait_for(page, held, 1)
    page.get_by_role("button", name="Clear", exact=True).click()
    with page.expect_response("**/api/prediction"):
        held[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#result")).to_be_hidden()
    expect(page.locator("#one")).not_to_have_attribute("aria-busy", "true")


def test_a_single_green_file_is_predicted_on_request_with_flags(page: Page, images: Path) -> None:
    button = page.get_by_role("button", name="Name the structures")
    expect(button).to_be_disabled()
    upload(page, [images / "cell2_green.png"])
    button.click()
    flags = page.locator("#flags")
    expect(flags).to_contain_text("The red, blue and yellow channels show nothing.")
    expect(flags).to_contain_text("Check that the file is the right one")


def unanswered(browser: Browser, address: str) -> tuple[Page, list[Route]]:
    """Open the page; it does not know its model until the one route continues."""
    page = browser.new_page()
    held: list[Route] = []
    page.route("**/api/model", lambda route: held.append(route))
    with page.expect_request("**/api/model"):
        page.goto(address)
    return page, held


def test_files_chosen_before_the_model_is_known_are_predicted_then(
    browser: Browser, server: tuple[str, int], images: Path
) -> None:
    page, held = unanswered(browser, server[0])
    upload(page, files_of(images, "cell1"))
    page.locator("#many-files").set_input_files(files_of(images, "cell2"))
    held[0].continue_()
    expect(page.locator("#result-name")).to_have_text("cell1")
    page.get_by_role("tab", name="Many images").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    page.close()


def drop(page: Page, paths: list[Path]) -> None:
    contents = {path.name: list(path.read_bytes()) for path in paths}
    page.evaluate(
        """contents => {
            const dataTransfer = new DataTransfer();
            for (const [name, bytes] of Object.entries(contents))
                dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
            for (const kind of ["dragenter", "dragover", "drop"])
                document.getElementById("one-drop").dispatchEvent(
                    new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        contents,
    )


def test_files_can_be_dropped(page: Page, images: Path) -> None:
    drop(page, files_of(images, "cell3"))
    expect(page.locator("#result-name")).to_have_text("cell3")


def test_files_dropped_before_the_model_is_known_are_predicted_then(
    browser: Browser, server: tuple[str, int], images: Path
) -> None:
    page, held = unanswered(browser, server[0])
    drop(page, files_of(images, "cell3"))
    held[0].continue_()
    expect(page.locator("#result-name")).to_have_text("cell3")
    page.close()


def test_a_file_of_all_channels_is_predicted_at_once(
    page: Page, folder: Path, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "well (3).ome.tif").write_bytes(ome_tiff(draw_pixels(2)))
    with page.expect_response("**/api/prediction") as response:
        drop(page, [tmp_path / "well (3).ome.tif"])
    expect(page.locator("#result-name")).to_have_text("well (3)")
    expect(page.locator(".slot.full .file")).to_have_text(["well (3).ome.tif"] * 4)
    expect(page.locator("#origin")).to_have_text("64 × 64 pixels")
    found = [each["probability"] for each in response.value.json()["prediction"]["classes"]]
    np.testing.assert_allclose(found, expected(folder, images, "cell2"), atol=1e-5)
    page.locator("#slot-green").set_input_files(images / "cell1_green.png")  # another image
    expect(page.locator(".slot.full")).to_have_count(1)
    (tmp_path / "scan.tif").write_bytes(tiff(draw_pixels(2)[..., 0]))
    drop(page, [tmp_path / "scan.tif"])
    problem = page.locator("#one-problem")
    expect(problem).to_contain_text("Scan.tif: one channel, not the 4 of red, green, blue, yellow:")
    expect(problem).to_contain_text("Choose the file for its channel alone, in one slot")


def test_the_request_of_the_guide_is_answered(
    server: tuple[str, int], images: Path, tmp_path: Path
) -> None:
    guide = (ROOT / "docs/predict.md").read_text(encoding="utf-8")
    [command] = re.findall(r"```sh\n(curl .*?)```", guide, re.DOTALL)
    for path in files_of(images, "cell1"):
        shutil.copy(path, tmp_path / path.name.replace("cell1", "a"))
    (tmp_path / "b.ome.tif").write_bytes(ome_tiff(draw_pixels(1)))
    command = command.replace("http://127.0.0.1:8000", f"-sS {server[0]}")
    done = subprocess.run(["bash", "-ec", command], cwd=tmp_path, capture_output=True, text=True)
    first, second = json.loads(done.stdout)["predictions"]
    assert (first["image"], second["image"]) == ("a", "b")
    assert first["classes"] == second["classes"]


def test_a_folder_may_hold_ome_zarr_files_of_all_channels_and_of_one(
    page: Page, folder: Path, images: Path, tmp_path: Path
) -> None:
    planes = np.moveaxis(draw_pixels(2), -1, 0)
    for path in files_of(images, "cell1"):
        shutil.copy(path, tmp_path)
    write_ome_zarr(tmp_path / "plate/cell2.ome.zarr", planes, labels=CHANNELS.names)
    write_ome_zarr(tmp_path / "v3.zarr", planes, labels=CHANNELS.names, version=3)
    (tmp_path / "well.ome.tif").write_bytes(ome_tiff(draw_pixels(2)))
    large = np.random.default_rng(0).integers(0, 256, (4, 600, 600), np.uint8)
    write_ome_zarr(tmp_path / "large.zarr", large, labels=CHANNELS.names)
    page.get_by_role("tab", name="Many images").click()
    page.locator("#many-folder").set_input_files(tmp_path)
    expect(page.locator("#many-status")).to_contain_text("5 images;")
    with page.expect_download() as download:
        page.locator("#many-csv").click()
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    for name, source in (
        ("cell1", "cell1"), ("plate/cell2", "cell2"), ("v3", "cell2"), ("well", "cell2")
    ):  # fmt: skip
        found = [float(row["probability"]) for row in rows if row["image"].endswith(f"/{name}")]
        np.testing.assert_allclose(found, expected(folder, images, source), atol=1e-5)
    failed = page.locator("#rows tr.failed")
    expect(failed).to_have_count(1)
    expect(failed).to_contain_text("MB are too large (at most 1 MB per request)")


def test_an_example_needs_one_click(page: Page) -> None:
    page.get_by_role("button", name="Mitochondria").click()
    expect(page.locator("#result-name")).to_have_text("simulated-2")
    expect(page.locator("#labels button")).to_have_count(len(LABELS.names))


def test_a_wrong_file_shows_a_reason_and_the_page_stays_usable(
    page: Page, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad_green.png").write_bytes(b"no picture")
    upload(page, [tmp_path / "bad_green.png", *files_of(images, "bad")])
    page.get_by_role("button", name="Name the structures").click()
    problem = page.locator("#one-problem")
    expect(problem).to_contain_text("Green: neither a picture (PNG, TIFF, JPEG) nor a microscope's")
    expect(problem).to_contain_text("Export the image as OME-TIFF, or each channel as PNG")
    (tmp_path / "large_green.png").write_bytes(bytes(1_100_000))
    upload(page, [tmp_path / "large_green.png"])
    page.get_by_role("button", name="Name the structures").click()
    expect(problem).to_contain_text("1.1 MB are too large (at most 1 MB per request).")
    (tmp_path / "notes.txt").write_text("no picture")
    upload(page, [tmp_path / "notes.txt"])
    expect(problem).to_contain_text("Notes.txt: neither a picture nor a microscope's file by its")
    expect(problem).to_contain_text("Drop the file onto the slot of its channel.")
    upload(page, files_of(images, "cell1"))
    expect(page.locator("#result-name")).to_have_text("cell1")
    expect(problem).to_be_hidden()


def test_a_batch_shows_progress_a_table_failures_and_one_csv(
    page: Page, images: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken_green.png").write_bytes(b"no picture")
    (tmp_path / "readme.txt").write_text("no picture")
    held = []
    page.route("**/api/predictions", lambda route: held.append(route))
    page.get_by_role("tab", name="Many images").click()
    files = [*sorted(images.glob("*.png")), *sorted(tmp_path.iterdir())]
    page.locator("#many-files").set_input_files(files)
    status, bar = page.locator("#many-status"), page.locator("#many-bar")
    for number in range(3):  # six images, two per request, one request at a time
        expect(status).to_have_text(f"{2 * number} of 6 images")
        expect(bar).to_have_js_property("value", 2 * number)
        page.wait_for_timeout(50)
        assert len(held) == number + 1
        held[number].continue_()
    expect(status).to_contain_text("6 images;")
    expect(status).to_contain_text("1 that cannot be read")
    expect(status).to_contain_text(
        "1 file skipped: readme.txt (neither a picture nor a microscope's file by its name)."
    )
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(6)
    expect(rows.last).to_contain_text("Cannot be read: green: neither a picture (PNG")
    page.get_by_label("Show").select_option("failed")
    expect(page.locator("#rows tr:visible")).to_have_count(1)
    with page.expect_download() as download:
        page.locator("#many-csv").click()
    table = list(csv.DictReader(download.value.path().read_text().splitlines()))
    y_prob = np.array([expected(folder, images, f"cell{k}") for k in range(N_IMAGES)])
    found = np.reshape([float(row["probability"]) for row in table], (N_IMAGES, len(LABELS.names)))
    np.testing.assert_allclose(found, y_prob, atol=1e-5)


def test_an_unreadable_image_with_an_odd_name_replaces_no_other(
    page: Page, images: Path, folder: Path, tmp_path: Path
) -> None:
    odd, plain = "shot \u201cA\u201d 9.41\u202fAM", "shot B"
    for k, channel in enumerate(("red", "green", "blue", "yellow")):
        (tmp_path / f"{odd}_{channel}.png").write_bytes(b"no picture" * (k + 1))
        content = (images / f"cell3_{channel}.png").read_bytes()
        (tmp_path / f'{plain} "2"_{channel}.png').write_bytes(content)
    page.get_by_role("tab", name="Many images").click()
    with page.expect_response("**/api/predictions") as response:
        page.locator("#many-files").set_input_files(
            sorted(tmp_path.iterdir(), key=lambda path: plain in path.name)
        )
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text(odd)
    expect(rows.first).to_contain_text("Cannot be read: red: neither a picture (PNG")
    expect(rows.last).to_contain_text(f'{plain} "2"')
    expect(rows.last).not_to_contain_text("Cannot be read")
    found = [each["probability"] for each in response.value.json()["predictions"][1]["classes"]]
    np.testing.assert_allclose(found, expected(folder, images, "cell3"), atol=1e-5)


def test_a_batch_can_be_stopped_and_its_images_opened(page: Page, images: Path) -> None:
    held = []
    page.route("**/api/predictions", lambda route: held.append(route) if held else hold(route))

    def hold(route: object) -> None:
        held.append(route)
        route.continue_()  # type: ignore[attr-defined]

    # Several images chosen in the first tab open the second.
    upload(page, sorted(images.glob("*.png")))
    expect(page.locator("#many-status")).to_have_text(f"2 of {N_IMAGES} images")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#many-status")).to_contain_text(f"2 of {N_IMAGES} images, then stopped")
    page.get_by_role("button", name="cell1").click()
    expect(page.locator("#result-name")).to_have_text("cell1")


def test_the_card_is_shown_and_arrow_keys_change_tabs(page: Page) -> None:
    page.locator("#tab-one").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tab-about")).to_be_focused()
    expect(page.locator("#about")).to_be_visible()
    expect(page.frame_locator("#card").get_by_role("heading", name="The card")).to_be_visible()
    page.keyboard.press("Home")
    expect(page.locator("#one")).to_be_visible()


def test_a_label_can_be_chosen_by_keyboard_and_has_an_accessible_name(
    page: Page, images: Path
) -> None:
    upload(page, files_of(images, "cell1"))
    button = page.locator("#labels button").first
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(button).to_have_accessible_name(
        re.compile(r"[A-Z].*, found, probability 0\.\d+, threshold 0\.")
    )


def test_a_phone_needs_no_sideways_scrolling(phone: Page) -> None:
    def check() -> None:
        width = phone.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], width

    check()
    phone.get_by_role("button", name="With a fault").tap()
    expect(phone.locator("#result")).to_be_visible()
    check()
    phone.locator("#labels button").first.tap()
    check()
    phone.locator("#tab-many").tap()
    phone.locator("#many-examples").tap()
    expect(phone.locator("#rows tr")).to_have_count(7)
    check()
    phone.locator("#tab-about").tap()
    check()


def test_memory_is_stable_over_many_requests(server: tuple[str, int]) -> None:
    url, pid = server

    def resident_mb() -> float:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def send(n_times: int) -> None:
        for number in range(n_times):
            good = [*form("a", number), *form("b", number + 1)]
            assert client.post(f"{url}/api/predictions", files=good).status_code == 200
            assert client.post(f"{url}/api/prediction", files=form("a")).status_code == 200
            bad = form("a", green=bytes(number))
            assert client.post(f"{url}/api/prediction", files=bad).status_code == 422
            # The server may close the connection before the whole body is sent.
            with suppress(httpx.TransportError):
                large = form("a", green=bytes(1_000_000))
                assert client.post(f"{url}/api/prediction", files=large).status_code == 413

    with httpx.Client(timeout=60) as client:
        send(20)
        before = resident_mb()
        send(100)
    assert resident_mb() < before + 30, json.dumps([before, resident_mb()])
