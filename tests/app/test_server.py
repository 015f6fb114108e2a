"""Requests to the page's server, as a browser sends them."""

import base64
import csv
import io
import re
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from hpa.app.server import PAGE_DIR, find_card, listen, make_app
from hpa.app.views import Views
from hpa.data.images.rendering import pseudo_colour
from hpa.errors import UserError
from hpa.model.grad_cam import activation_maps
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from support.page_forms import CARD, PARAMS, Form, bomb, float_tiff, form, png
from support.worlds import draw_pixels


def expected(views: Views, seed: int) -> np.ndarray:
    """Probabilities float32[28] as the classifier gives them for pixels."""
    pixels = cv2.resize(draw_pixels(seed), (32, 32), interpolation=cv2.INTER_AREA)
    return views.classifier.probabilities(pixels[None], batch_size=1)[0]


def probabilities(document: dict[str, list[dict[str, float]]]) -> list[float]:
    return [each["probability"] for each in document["classes"]]


def test_one_image_gets_the_classifier_s_probabilities(client: TestClient, views: Views) -> None:
    found = client.post("/api/prediction", files=form("cell", 3)).json()
    assert found["prediction"]["image"] == "cell"
    np.testing.assert_allclose(probabilities(found["prediction"]), expected(views, 3), atol=1e-5)


def test_many_images_get_their_predictions_in_order(client: TestClient, views: Views) -> None:
    found = client.post("/api/predictions", files=[*form("b", 1), *form("plate/a", 2)]).json()
    assert [each["image"] for each in found["predictions"]] == ["b", "plate/a"]
    for seed, document in zip((1, 2), found["predictions"], strict=True):
        np.testing.assert_allclose(probabilities(document), expected(views, seed), atol=1e-5)


@pytest.mark.parametrize("address", ["/api/prediction", "/api/predictions"])
def test_the_csv_agrees_with_the_json(client: TestClient, address: str) -> None:
    found = client.post(address, files=form("cell", 3)).json()
    document = found["prediction"] if address == "/api/prediction" else found["predictions"][0]
    rows = list(csv.DictReader(io.StringIO(found["csv"])))
    assert [row["label"] for row in rows] == list(LABELS.names)
    assert [f"{each:.10g}" for each in probabilities(document)] == [r["probability"] for r in rows]
    assert [each["present"] for each in document["classes"]] == [r["present"] == "1" for r in rows]


def test_the_planes_of_the_picture_mix_to_pseudo_colour(client: TestClient) -> None:
    picture = client.post("/api/prediction", files=form("cell", 3)).json()["picture"]
    planes = [
        cv2.imdecode(
            np.frombuffer(base64.b64decode(picture[name].partition(",")[2]), np.uint8),
            cv2.IMREAD_UNCHANGED,
        ).astype(float)
        for name in CHANNELS.names
    ]
    red, green, blue, yellow = planes
    mixed = np.stack([red + 0.6 * yellow, green + 0.6 * yellow, blue], axis=-1).clip(0, 255)
    assert np.abs(mixed - pseudo_colour(draw_pixels(3), CHANNELS).astype(float)).max() <= 2


def test_maps_are_scaled_to_their_maximum(client: TestClient, views: Views) -> None:
    maps = client.post("/api/prediction", files=form("cell", 3)).json()["maps"]
    pixels = cv2.resize(draw_pixels(3), (32, 32), interpolation=cv2.INTER_AREA)
    heat = activation_maps(views.classifier.networks[0], pixels[None])[0]
    for number in np.flatnonzero(heat.max(axis=(0, 1)) > 0)[:3]:
        found = np.reshape(maps["values"][LABELS.names[number]], (maps["height"], maps["width"]))
        np.testing.assert_allclose(found, heat[..., number] / heat[..., number].max(), atol=1e-3)
    assert heat.max() > 0


def test_an_absent_channel_gets_a_flag_and_advice(client: TestClient) -> None:
    files = [each for each in form("cell", 3) if each[0] != "yellow"]
    found = client.post("/api/prediction", files=files).json()
    assert "the yellow channel shows nothing" in found["prediction"]["flags"]
    assert "right one" in found["advice"]["the yellow channel shows nothing"]


@pytest.mark.parametrize(
    ("files", "status", "said"),
    [
        (form("a", green=b"no picture"), 422, "green: neither a picture (PNG, TIFF, JPEG) nor a"),
        (form("a", green=b""), 422, "green: an empty file"),
        (form("a", red=png(np.zeros((32, 64), np.uint8))), 422, "channels of unequal size"),
        (form("a")[:1], 422, "no green channel"),
        (form("a", green=float_tiff()), 422, "green: values that are not numbers (NaN"),
        (form("a", green=bomb()), 422, "green: 20000×20000 pixels (at most 256×256)"),
        (form("a", green=png(np.zeros((300, 300), np.uint8))), 422, "at most 256×256"),
        (form("a", green=form("a")[1][1][1][:-30]), 422, "cut or damaged"),
        (form("a", green=bytes(1_100_000)), 413, "1.1 MB or more are too large"),
        (form("a")[1:2] * 2, 400, "two files for the green channel"),
        ([("mask", ("a_mask.png", b"x"))], 400, "unknown field 'mask'"),
    ],
)
@pytest.mark.parametrize("address", ["/api/prediction", "/api/predictions"])
def test_an_unreadable_image_is_refused_with_a_reason_and_the_next_one_predicted(
    client: TestClient, address: str, files: Form, status: int, said: str
) -> None:
    refused = client.post(address, files=files)
    assert refused.status_code == status
    assert said in refused.json()["error"]
    assert status != 422 or refused.json()["advice"]
    assert client.post(address, files=form("good")).status_code == 200


def test_an_unreadable_image_of_a_batch_leaves_the_others_their_predictions(
    client: TestClient,
) -> None:
    files = [*form("good", 1), *form("bad", green=bomb()), *form("flat", 2)]
    found = client.post("/api/predictions", files=files).json()
    good, bad, flat = found["predictions"]
    assert [each["image"] for each in found["predictions"]] == ["good", "bad", "flat"]
    assert len(good["classes"]) == len(flat["classes"]) == len(LABELS.names)
    assert "20000×20000 pixels" in bad["error"]
    assert "serve.max_size_px" in bad["advice"]
    assert "bad" not in found["csv"]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("plate/" + "a" * 200, "other/" + "a" * 200),  # equal once cut
        (
            "shot 9.41\u202fAM",
            "shot 9.41\u3000AM",
        ),  # equal once unprintable characters are replaced
        ("a\\b", "a/b"),
    ],
)
def test_images_with_equal_display_names_keep_their_own_predictions(
    client: TestClient, views: Views, good: str, bad: str
) -> None:
    files = [*form(bad, green=b"no picture"), *form(good, 1)]
    first, second = client.post("/api/predictions", files=files).json()["predictions"]
    assert first["image"] == second["image"]
    assert "neither a picture" in first["error"]
    np.testing.assert_allclose(probabilities(second), expected(views, 1), atol=1e-5)


@pytest.mark.parametrize(("address", "n_images"), [("/api/prediction", 2), ("/api/predictions", 4)])
def test_more_images_than_allowed_are_refused(
    client: TestClient, address: str, n_images: int
) -> None:
    files = [each for number in range(n_images) for each in form(f"cell{number}")]
    assert client.post(address, files=files).status_code == 413
    too_many = [("green", (f"{number}_green.png", b"")) for number in range(100)]
    assert client.post(address, files=too_many).status_code == 400
    protein = [each for each in files if each[0] == "green"]
    assert client.post(address, files=protein).status_code == 413


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"red=1", "application/x-www-form-urlencoded", 415),
        (b"nonsense", "multipart/form-data; boundary=b", 400),
        (b"nonsense", "multipart/form-data", 400),
        (b'--b\r\nContent-Disposition: form-data; name="red"\r\n\r\nx\r\n--b--\r\n',
         "multipart/form-data; boundary=b", 400),
        (b"--b\r\nX\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", 400),
    ],
)  # fmt: skip
def test_a_malformed_form_is_a_client_error(
    client: TestClient, content: bytes, content_type: str, status: int
) -> None:
    refused = client.post(
        "/api/predictions", content=content, headers={"content-type": content_type}
    )
    assert refused.status_code == status
    assert refused.json()["error"]


def test_no_upload_reaches_the_disk(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was opened")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    random = np.random.default_rng(0).integers(0, 256, (250, 250), dtype=np.uint8)
    noisy = {name: png(random) for name in CHANNELS.names}  # 250 kB together
    assert (
        client.post("/api/prediction", files=form("../../etc/passwd", **noisy)).status_code == 200
    )
    assert not list(tmp_path.iterdir())


def test_an_image_name_is_plain_text(client: TestClient) -> None:
    found = client.post("/api/prediction", files=form("<b>=1+1\t" + "x" * 300)).json()
    assert found["prediction"]["image"] == "x" * 200
    found = client.post("/api/prediction", files=form("=1+1")).json()
    assert "'=1+1" in found["csv"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""]
)
def test_an_unknown_host_name_is_refused(client: TestClient, host: str) -> None:
    for address in ("/", "/api/model", "/card"):
        assert client.get(address, headers={"host": host}).status_code == 400
    refused = client.post("/api/prediction", files=form("a"), headers={"host": host})
    assert refused.status_code == 400
    assert refused.text == "Invalid host header"
    assert "content-security-policy" in refused.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [("[::1]", 200), ("[::1]:8000", 200), ("LAB.example:80", 200), ("[::2]", 400), ("::1", 400),
     ("www.lab.example", 400), ("127.0.0.1", 400)],
)  # fmt: skip
def test_allowed_hosts_may_be_names_and_ipv6_addresses(
    views: Views, host: str, status: int
) -> None:
    settings = replace(views.app, allowed_hosts="[::1] lab.example")
    client = TestClient(make_app(replace(views, app=settings), [], None))
    assert client.get("/api/model", headers={"host": host}).status_code == status


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "LOCALHOST", "127.0.0.1"])
def test_loopback_names_are_accepted_on_any_port(client: TestClient, host: str) -> None:
    assert client.get("/api/model", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_cross_origin_posts_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/api/prediction", files=form("a"), headers=headers).status_code == 403


def test_same_origin_posts_are_accepted(client: TestClient) -> None:
    headers = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert client.post("/api/prediction", files=form("a"), headers=headers).status_code == 200


@pytest.mark.parametrize("address", ["/", "/main.js", "/api/model", "/api/examples", "/nothing"])
def test_every_response_has_security_headers(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_the_page_refers_to_no_other_server() -> None:
    for path in PAGE_DIR.iterdir():
        addresses = set(re.findall(r"\w+://[^\s\"'<>]+", path.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path


def test_the_card_is_sandboxed_without_scripts(client: TestClient) -> None:
    shown = client.get("/card")
    assert shown.text == CARD
    assert "script-src" not in shown.headers["content-security-policy"]
    assert "sandbox" in shown.headers["content-security-policy"]
    assert client.get("/api/model").json()["has_card"]


def test_a_card_counts_only_if_it_names_these_weights(tmp_path: Path) -> None:
    folder, reports = tmp_path / "model", tmp_path / "reports"
    reports.mkdir()
    assert find_card(folder, {"weights_sha256": "abc"}) is None
    (reports / "model_card.html").write_text("weights: sha256 abc")
    assert find_card(folder, {"weights_sha256": "abc"}) == "weights: sha256 abc"
    assert find_card(folder, {"weights_sha256": "def"}) is None
    assert find_card(folder, {}) is None


def test_the_files_of_an_example_can_be_predicted(client: TestClient) -> None:
    for example in client.get("/api/examples").json():
        name = example["name"]
        files = [
            (c, (f"{name}_{c}.png", client.get(f"/examples/{name}/{c}.png").content))
            for c in CHANNELS.names
        ]
        assert client.post("/api/prediction", files=files).json()["prediction"]["image"] == name
        assert client.get(f"/examples/{name}.jpg").headers["content-type"] == "image/jpeg"
    assert client.get("/examples/other.jpg").status_code == 404
    assert client.get(f"/examples/{name}/other.png").status_code == 404


def test_a_taken_port_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = replace(PARAMS.app, port=taken.getsockname()[1])
        with pytest.raises(UserError, match="--port 0"):
            listen(settings)
    with pytest.raises(UserError, match="another address"):
        listen(replace(PARAMS.app, host="192.0.2.1", port=0))
