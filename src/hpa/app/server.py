"""The page's server: static files, the examples, the model card, and two questions of the network.

`POST /api/look` takes one image, `POST /api/answers` several; `hpa.app.uploads` tells the form.
"""

import errno
import socket
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as AnyHTTPException

from hpa.app.advice import advise
from hpa.app.examples import SampleImage
from hpa.app.origin_guard import Gatekeeper
from hpa.app.uploads import read_images
from hpa.app.views import Views
from hpa.config.params import App
from hpa.data.images.formats import UnfitPictureError
from hpa.errors import UserError
from hpa.labels import CHANNELS, LABELS
from hpa.serving.request_limits import Doorman

PAGE_DIR = Path(__file__).parent / "page"
CARD_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox "
    "allow-same-origin"
)
"""Of the model card, which brings its own style and no script."""


def make_app(views: Views, examples: list[SampleImage], card: str | None) -> FastAPI:
    """Make the ASGI app.

    Args:
        views: answers for images.
        examples: images to try it with.
        card: the model card's HTML; None where the model has none.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    max_bytes = views.serve.max_request_mb * 10**6
    hosts = tuple(views.app.allowed_hosts.lower().split())
    # What is added last stands first.
    app.add_middleware(Doorman, max_bytes=max_bytes, content_types=("multipart/form-data",))
    app.add_middleware(Gatekeeper, allowed_hosts=hosts)
    app.add_exception_handler(AnyHTTPException, _refused)
    _add_questions(app, views, max_bytes)
    _add_examples(app, examples)

    @app.get("/api/model")
    def tell_model() -> dict[str, Any]:
        return describe_model(views, has_card=card is not None)

    @app.get("/card")
    def show_card() -> Response:
        if card is None:
            raise HTTPException(404, "the model has no card")
        headers = {"content-security-policy": CARD_POLICY}
        return Response(card, media_type="text/html", headers=headers)

    app.mount("/", StaticFiles(directory=PAGE_DIR, html=True))
    return app


def _add_questions(app: FastAPI, views: Views, max_bytes: int) -> None:
    @app.post("/api/look")
    async def look(request: Request) -> JSONResponse:
        images = await read_images(request, max_images=1, max_bytes=max_bytes)
        [(name, files)] = images
        try:
            return JSONResponse(await run_in_threadpool(views.look, name, files))
        except UnfitPictureError as error:
            raise HTTPException(422, str(error)) from error

    @app.post("/api/answers")
    async def answer(request: Request) -> JSONResponse:
        n_images = views.serve.max_images
        images = await read_images(request, max_images=n_images, max_bytes=max_bytes)
        found = await run_in_threadpool(views.answers, images)
        if all("error" in each for each in found["answers"]):
            first = found["answers"][0]  # its error and advice stand for all
            refusal = {"error": first["error"], "advice": first["advice"]}
            return JSONResponse(found | refusal, 422)
        return JSONResponse(found)


def _add_examples(app: FastAPI, examples: list[SampleImage]) -> None:
    by_name = {example.name: example for example in examples}

    def example_of(name: str) -> SampleImage:
        if name not in by_name:
            raise HTTPException(404, "there is no such example")
        return by_name[name]

    @app.get("/api/examples")
    def list_examples() -> list[dict[str, str]]:
        return [{"name": example.name, "title": example.title} for example in examples]

    @app.get("/examples/{name}.jpg")
    def thumbnail(name: str) -> Response:
        return Response(example_of(name).thumbnail, media_type="image/jpeg")

    @app.get("/examples/{name}/{channel}.png")
    def plane(name: str, channel: str) -> Response:
        files = example_of(name).files
        if channel not in files:
            raise HTTPException(404, "there is no such channel")
        return Response(files[channel], media_type="image/png")


def describe_model(views: Views, *, has_card: bool) -> dict[str, Any]:
    """Return what the page tells of the model, and the limits that it keeps itself."""
    origin, serve = views.classifier.origin, views.serve
    return {
        "run_id": str(origin.get("run_id", "")),
        "source": str(origin["params"].get("fetch.source", "unknown")),
        "image_size": views.classifier.image_size,
        "weights_sha256": str(origin.get("weights_sha256", "")),
        "has_card": has_card,
        "channels": CHANNELS,
        "labels": LABELS,
        "max_request_bytes": serve.max_request_mb * 10**6,
        "images_per_request": min(views.app.images_per_request, serve.max_images),
    }


def find_card(folder: Path, origin: dict[str, Any]) -> str | None:
    """Return the HTML of a model folder's card: in it, or in the reports of its repository.

    Reports may tell of another model by now, so a card must name the weights' digest.
    """
    digest = origin.get("weights_sha256")
    for path in (folder / "model_card.html", folder.parent / "reports" / "model_card.html"):
        if digest and path.is_file() and digest in (text := path.read_text(encoding="utf-8")):
            return text
    return None


def listen(settings: App) -> socket.socket:
    """Take the page's address before anything slow is done.

    Raises:
        UserError: the port is taken, or the address is none of this computer's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise UserError(
            f"the page cannot be at {settings.host}, port {settings.port}",
            expected="a free port of this computer, and one of its own addresses",
            received=str(error.strerror or error),
            remedy="choose another one: --port 8001, or --port 0 for any free one"
            if taken
            else "choose another address (--host 127.0.0.1) or a port above 1023",
        ) from error


def run(app: FastAPI, listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    config = uvicorn.Config(app, log_level="warning", server_header=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHTTPException)
    reason = str(error.detail)
    return JSONResponse({"error": reason, "advice": advise(reason)}, error.status_code)
