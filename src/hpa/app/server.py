"""The page's server: static files, examples, the model card and two prediction endpoints.

`POST /api/prediction` takes one image, `POST /api/predictions` several, as a form described in
`hpa.app.uploads`; `POST /api/names` says to which images a list of file names belongs.
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
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from hpa.app.advice import advise
from hpa.app.examples import SampleImage
from hpa.app.origin_guard import OriginGuard
from hpa.app.uploads import NameRule, read_images
from hpa.app.views import Views
from hpa.config.sections import App
from hpa.data.images.file_names import READ_SUFFIXES
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.rendering import display_weights
from hpa.errors import UserError
from hpa.serving.request_limits import RequestLimits
from hpa.vocabulary.channels import Channels

FORM, JSON = "multipart/form-data", "application/json"
"""Content types of requests."""
PAGE_DIR = Path(__file__).parent / "page"
CARD_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox "
    "allow-same-origin"
)
"""Policy of the model card, which has inline styles and no script."""


def make_app(views: Views, examples: list[SampleImage], card: str | None) -> FastAPI:
    """Create the ASGI app; `card` is the HTML of the model card."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    max_bytes = views.serve.max_request_mb * 10**6
    hosts = views.app.allowed_hosts.split()
    # The middleware added last is outermost.
    app.add_middleware(RequestLimits, max_bytes=max_bytes, content_types=(FORM, JSON))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    app.add_middleware(OriginGuard)
    app.add_exception_handler(StarletteHTTPException, _error_response)
    _add_predictions(app, views, max_bytes)
    _add_names(app, views.name_rule)
    _add_examples(app, examples)

    @app.get("/api/model")
    def show_model() -> dict[str, Any]:
        return describe_model(views, has_card=card is not None)

    @app.get("/card")
    def show_card() -> Response:
        if card is None:
            raise HTTPException(404, "the model has no card")
        headers = {"content-security-policy": CARD_POLICY}
        return Response(card, media_type="text/html", headers=headers)

    app.mount("/", StaticFiles(directory=PAGE_DIR, html=True))
    return app


def _add_predictions(app: FastAPI, views: Views, max_bytes: int) -> None:
    rule = views.name_rule

    @app.post("/api/prediction")
    async def predict_one(request: Request) -> JSONResponse:
        [(name, files)] = await read_images(request, rule, max_images=1, max_bytes=max_bytes)
        try:
            return JSONResponse(await run_in_threadpool(views.predict_one, name, files))
        except InvalidImageError as error:
            raise HTTPException(422, str(error)) from error

    @app.post("/api/predictions")
    async def predict_many(request: Request) -> JSONResponse:
        n_images = views.serve.max_images
        images = await read_images(request, rule, max_images=n_images, max_bytes=max_bytes)
        content = await run_in_threadpool(views.predict_many, images)
        if all("error" in each for each in content["predictions"]):
            first = content["predictions"][0]
            error = {"error": first["error"], "advice": first["advice"]}
            return JSONResponse(content | error, 422)
        return JSONResponse(content)


def _add_names(app: FastAPI, rule: NameRule) -> None:
    @app.post("/api/names")
    async def name_files(request: Request) -> dict[str, Any]:
        names = await request.json()
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            raise HTTPException(400, "expected a list of file names")
        return await run_in_threadpool(rule.describe_all, names)


def _add_examples(app: FastAPI, examples: list[SampleImage]) -> None:
    by_name = {example.name: example for example in examples}

    def find_example(name: str) -> SampleImage:
        if name not in by_name:
            raise HTTPException(404, "there is no such example")
        return by_name[name]

    @app.get("/api/examples")
    def list_examples() -> list[dict[str, str]]:
        return [{"name": example.name, "title": example.title} for example in examples]

    @app.get("/examples/{name}.jpg")
    def thumbnail(name: str) -> Response:
        return Response(find_example(name).thumbnail, media_type="image/jpeg")

    @app.get("/examples/{name}/{channel}.png")
    def plane(name: str, channel: str) -> Response:
        files = find_example(name).files
        if channel not in files:
            raise HTTPException(404, "there is no such channel")
        return Response(files[channel], media_type="image/png")


def describe_model(views: Views, *, has_card: bool) -> dict[str, Any]:
    """Describe the model, and the limits that the page checks itself."""
    origin, serve = views.classifier.origin, views.serve
    return {
        "run_id": str(origin.get("run_id", "")),
        "source": str(origin["params"].get("fetch.source", "unknown")),
        "image_size": views.classifier.image_size,
        "weights_sha256": str(origin.get("weights_sha256", "")),
        "has_card": has_card,
        "channels": _channels(views.vocabulary.channels),
        "suffixes": ",".join(READ_SUFFIXES),
        "labels": views.vocabulary.labels.to_json(),
        "max_request_bytes": serve.max_request_mb * 10**6,
        "images_per_request": min(views.app.images_per_request, serve.max_images),
    }


def _channels(channels: Channels) -> list[dict[str, Any]]:
    """Describe each channel: `weights` are its red, green and blue in the pseudo-colour picture."""
    return [
        {"name": each.name, "role": each.role, "color": each.hex, "shows": each.shows}
        | {"weights": weights.tolist()}
        for each, weights in zip(channels.channels, display_weights(channels), strict=True)
    ]


def find_card(folder: Path, origin: dict[str, Any]) -> str | None:
    """Return the HTML of a model's card, from its folder or from the reports beside it.

    Reports may describe another model by now, so the card must contain the digests of all weights.
    """
    digests = str(origin.get("weights_sha256") or "").split()
    for path in (folder / "model_card.html", folder.parent / "reports" / "model_card.html"):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if digests and all(digest in text for digest in digests):
            return text
    return None


def listen(settings: App) -> socket.socket:
    """Bind the page's address, before anything slow is done.

    Raises:
        UserError: the port is taken, or the address does not belong to this computer.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        remedy = "choose another address (--host 127.0.0.1) or a port above 1023"
        if error.errno == errno.EADDRINUSE:
            remedy = "choose another port: --port 8001, or --port 0 for any free one"
        raise UserError(
            f"the page cannot listen at {settings.host}, port {settings.port}",
            expected="a free port and an address of this computer",
            received=str(error.strerror or error),
            remedy=remedy,
        ) from error


def run(app: FastAPI, listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, lifespan="off", ws="none"
    )
    uvicorn.Server(config).run(sockets=[listening])


async def _error_response(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    reason = str(error.detail)
    return JSONResponse({"error": reason, "advice": advise(reason)}, error.status_code)
