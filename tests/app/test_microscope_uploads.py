"""Files of several channels sent to the page's server, and names of files that it reads."""

import base64
import io
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from starlette.testclient import TestClient

from hpa.app.server import make_app
from hpa.app.views import Views
from hpa.data.images.file_names import reason_to_pass, split_name
from hpa.inference.classifier import Classifier
from hpa.model.grad_cam import activation_maps
from hpa.system.files import read_json, write_json
from hpa.tracking.model_files import request
from hpa.vocabulary.channels import IMAGE_FILE, NAME
from hpa.vocabulary.hpa2018 import CHANNELS
from support.microscope_files import write_czi, write_lif, write_nd2
from support.model_folders import write_model_folder
from support.page_forms import PARAMS, Form, form, ome_tiff, png, tiff, whole_form
from support.worlds import draw_pixels
from support.zarr_images import write_ome_zarr, zipped

PIXELS = draw_pixels(3)
PLANES = np.ascontiguousarray(np.moveaxis(PIXELS, -1, 0))


def zarr_zip(folder: Path) -> bytes:
    return zipped(
        write_ome_zarr(folder / "x.ome.zarr", PLANES, labels=CHANNELS.names, pixel_size=0.1)
    ).read_bytes()


def czi(folder: Path) -> bytes:
    return write_czi(
        folder / "a.czi", PLANES[:, None].astype(np.uint16), CHANNELS.names
    ).read_bytes()


def nd2(folder: Path) -> bytes:
    planes = PLANES[None, None].astype(np.uint16)
    return write_nd2(folder / "a.nd2", planes, CHANNELS.names, bits=8).read_bytes()


def lif(folder: Path) -> bytes:
    return write_lif(
        folder / "a.lif", {"field": PLANES[None, None, None]}, CHANNELS.names
    ).read_bytes()


def part_of_ome_tiff() -> bytes:
    """Return the first of two files of two channels each."""
    xml = '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="64" SizeY="64"'
    xml = f'{xml} SizeC="4" SizeZ="1" SizeT="1"><Channel ID="Channel:0"/>'
    for k in range(4):
        xml += f'<TiffData FirstC="{k}" IFD="{k % 2}" PlaneCount="1">'
        xml += f'<UUID FileName="part{k // 2}.ome.tif">urn:uuid:{k // 2}</UUID></TiffData>'
    namespace = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    xml = f'<Image ID="Image:0">{xml}</Pixels></Image>'
    xml = f'<?xml version="1.0"?><OME xmlns="{namespace}" UUID="urn:uuid:0">{xml}</OME>'
    return tiff(PLANES[:2], photometric="minisblack", description=xml, metadata=None)


def two_fields() -> bytes:
    content = io.BytesIO()
    with tifffile.TiffWriter(content, ome=True) as file:
        for _ in range(2):
            file.write(PLANES, photometric="minisblack", metadata={"axes": "CYX"})
    return content.getvalue()


FILES: dict[str, Callable[[Path], bytes]] = {
    "x.ome.tif": lambda _: ome_tiff(PIXELS),
    "x.tif": lambda _: tiff(PLANES[None, None], imagej=True, metadata={"axes": "TZCYX"}),
    "x.tiff": lambda _: tiff(PIXELS, photometric="minisblack", planarconfig="contig"),
    "x.zarr.zip": zarr_zip,
    "x.ozx": zarr_zip,
    "x.czi": czi,
    "x.nd2": nd2,
    "x.lif": lif,
}


def probabilities(document: dict[str, list[dict[str, float]]]) -> list[float]:
    return [each["probability"] for each in document["classes"]]


@pytest.mark.parametrize("file_name", FILES)
def test_a_file_of_all_channels_gets_the_probabilities_of_a_file_per_channel(
    client: TestClient, tmp_path: Path, file_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No byte of it reaches the disk."""
    content = FILES[file_name](tmp_path)
    for temporary in (tmp_path / "temporary", tmp_path / "of-children"):
        temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "of-children"))
    by_channel = client.post("/api/prediction", files=form("x", 3)).json()["prediction"]
    found = client.post("/api/prediction", files=whole_form(f"plate/{file_name}", content)).json()
    assert found["prediction"]["image"] == "plate/x"
    assert not [*tmp_path.glob("temporary/*"), *tmp_path.glob("of-children/*")]
    np.testing.assert_allclose(
        probabilities(found["prediction"]), probabilities(by_channel), atol=1e-5
    )


@pytest.mark.slow
def test_four_channels_of_2048_pixels_in_16_bits_fit_a_request(model_dir: Path) -> None:
    """Also in base64, as the served model takes them; uncompressed, with noise in every bit."""
    values = np.random.default_rng(0).integers(0, 2**16, (2048, 2048, 4), np.uint16)
    content = ome_tiff(values)
    views = Views(Classifier(model_dir), PARAMS.serve, PARAMS.app)
    client = TestClient(make_app(views, [], None), "http://127.0.0.1:8000")
    found = client.post("/api/prediction", files=whole_form("x.ome.tif", content))
    assert found.status_code == 200
    assert found.json()["read"] == "2048 × 2048 pixels"
    body = json.dumps(request([{IMAGE_FILE: content}]))
    assert len(body) <= PARAMS.serve.max_request_mb * 10**6


def test_both_kinds_of_files_are_mixed_in_a_batch(client: TestClient) -> None:
    files = [*form("a", 1), *whole_form("b.ome.tif", ome_tiff(PIXELS)), *form("c", 3)]
    found = client.post("/api/predictions", files=files).json()["predictions"]
    assert [each["image"] for each in found] == ["a", "b", "c"]
    np.testing.assert_allclose(probabilities(found[1]), probabilities(found[2]), atol=1e-5)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            [*form("x")[:1], *whole_form("x.ome.tif", b"")],
            "both as image_file and by channel: send one of them",
        ),
        (whole_form("x.ome.tif", b"") + whole_form("x.tif", b""), "two files for one image"),
    ],
)
def test_an_image_is_one_file_or_a_file_per_channel(
    client: TestClient, files: Form, said: str
) -> None:
    refused = client.post("/api/predictions", files=files)
    assert refused.status_code == 400
    assert said in refused.json()["error"]


def test_no_channel_can_have_the_name_of_the_field_for_all() -> None:
    assert not NAME.fullmatch(IMAGE_FILE)


@pytest.mark.parametrize(
    ("content", "said", "advised"),
    [
        (ome_tiff(np.zeros((5, 4, 8, 8), np.uint8), "ZCYX"), "5 slices in depth", "--serve.z max"),
        (ome_tiff(np.zeros((3, 8, 8), np.uint8), "TYX"), "time series of 3", "one frame"),
        (part_of_ome_tiff(), "one of 2 files of an OME-TIFF", "Save the image as one OME-TIFF"),
        (two_fields(), "2 fields in one file", "by its number"),
        (tiff(PLANES[0]), "one channel, not the 4", "for its channel alone"),
        (tiff(PIXELS[..., :3], photometric="rgb"), "red-green-blue", "each channel"),
        (tiff(PLANES[:3], photometric="minisblack"), "3 channels", "--serve.found_as"),
        (png(PIXELS[..., 0]), "one channel, not the 4", "for its channel alone"),
        (b"\x89nonsense", "neither a picture", "Export the image"),
        (ome_tiff(PIXELS)[:3000], "the file: ", "again"),
        (ome_tiff(np.zeros((300, 300, 4), np.uint8)), "at most 256×256", "serve.max_size_px"),
    ],
)
def test_a_file_that_is_not_one_image_of_the_channels_is_refused_with_a_way_out(
    client: TestClient, content: bytes, said: str, advised: str
) -> None:
    refused = client.post("/api/prediction", files=whole_form("x.tif", content))
    assert refused.status_code == 422
    assert said in refused.json()["error"]
    assert advised in refused.json()["advice"]


def test_the_server_names_files_as_the_command_does(views: Views) -> None:
    """Also by the pattern and the words that the model was trained with."""
    words = {"pattern": None, "found_as": "red=C1; green=C2; blue=C3; yellow=C4"}
    serve = replace(views.serve, found_as=words["found_as"])
    client = TestClient(make_app(replace(views, serve=serve), [], None), "http://127.0.0.1:8000")
    paths = [
        f"{folder}{stem}{suffix}"
        for folder in ("", "plate 7/")
        for stem in ("a_red", "a-Green", "C2-a", "a (3)", ".a_red", "")
        for suffix in (".png", ".TIF", ".ome.tif", ".czi", ".zarr.zip", ".txt", "")
    ]
    found = client.post("/api/names", json=paths).json()["files"]
    assert len(found) == len(paths)
    for text, each in zip(paths, found, strict=True):
        path = Path(text)
        if parts := split_name(path, CHANNELS, **words):
            name = str(path.parent / parts[0])
            assert each == {"name": name, "field": parts[1] or IMAGE_FILE}
        else:
            assert each["field"] == ""
            assert each["reason"] == reason_to_pass(path, CHANNELS, **words)


def test_numbers_of_channels_in_names_get_the_line_to_set(client: TestClient) -> None:
    found = client.post("/api/names", json=["C1-a.tif", "C2-a.tif", "a_red.png"]).json()
    assert [each["field"] for each in found["files"]] == ["", "", "red"]
    assert 'found_as: "CHANNEL=C1; CHANNEL=C2"' in found["advice"]
    assert client.post("/api/names", json=["a_red.png", "b.txt"]).json()["advice"] == ""


@pytest.mark.parametrize("body", ["", "{}", "[1]", "[" * 50_000])
def test_malformed_names_are_a_client_error(client: TestClient, body: str) -> None:
    headers = {"content-type": "application/json"}
    refused = client.post("/api/names", content=body, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["error"]


@pytest.fixture(scope="module")
def tiling(tmp_path_factory: pytest.TempPathFactory) -> Views:
    """A model that was trained on tiles of larger fields."""
    folder = write_model_folder(tmp_path_factory.mktemp("tiles") / "model")
    origin = read_json(folder / "provenance.json")
    origin["params"]["pack.odd_size"] = "tiles"
    write_json(folder / "provenance.json", origin)
    return Views(Classifier(folder), PARAMS.serve, replace(PARAMS.app, shown_px=64))


def test_a_field_of_tiles_is_shown_whole_with_the_maps_of_all_tiles(tiling: Views) -> None:
    client = TestClient(make_app(tiling, [], None), "http://127.0.0.1:8000")
    field = np.concatenate([draw_pixels(seed) for seed in (1, 2, 3)], axis=1)
    content = ome_tiff(field, PhysicalSizeX=0.108, PhysicalSizeY=0.108)
    found = client.post("/api/prediction", files=whole_form("f.ome.tif", content)).json()
    assert (
        found["read"] == "192 × 64 pixels of 0.108 µm, seen as 3 tiles, whose scores are averaged"
    )
    assert found["prediction"]["tiles"] == 3
    [network] = tiling.classifier.networks
    small = [
        cv2.resize(draw_pixels(seed), (32, 32), interpolation=cv2.INTER_AREA) for seed in (1, 2, 3)
    ]
    heat = np.concatenate(list(activation_maps(network, np.stack(small))), axis=1)
    maps = found["maps"]
    rows, columns = maps["height"], maps["width"]
    assert columns == 3 * rows or (rows, columns) == (21, 64)  # at most 64 cells a side
    label = int(np.argmax(heat.max(axis=(0, 1))))
    name = tiling.vocabulary.labels.names[label]
    expected = heat[..., label]
    if expected.shape != (rows, columns):
        expected = cv2.resize(expected, (columns, rows), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(
        np.reshape(maps["values"][name], (rows, columns)), expected / expected.max(), atol=2e-3
    )
    for address in found["picture"].values():
        assert re.match("data:image/png;base64,", address)


@pytest.mark.parametrize(
    ("odd_size", "shape"), [("pad", (64, 64)), ("crop", (32, 32)), ("tiles", (64, 32))]
)
def test_the_picture_is_what_the_network_sees(
    tiling: Views, monkeypatch: pytest.MonkeyPatch, odd_size: str, shape: tuple[int, int]
) -> None:
    monkeypatch.setitem(tiling.classifier.origin["params"], "pack.odd_size", odd_size)
    client = TestClient(make_app(tiling, [], None), "http://127.0.0.1:8000")
    content = ome_tiff(draw_pixels(1)[:, :32])
    found = client.post("/api/prediction", files=whole_form("f.ome.tif", content)).json()
    address = found["picture"]["green"]
    plane = cv2.imdecode(
        np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert plane.shape == shape
    assert found["read"].startswith("32 × 64 pixels")
    assert found["maps"]["height"] * shape[1] == found["maps"]["width"] * shape[0]
