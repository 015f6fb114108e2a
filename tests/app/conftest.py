"""The page's app with a small model."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hpa.app.examples import draw_examples
from hpa.app.server import make_app
from hpa.app.views import Views
from hpa.inference.classifier import Classifier
from support.model_folders import write_model_folder
from support.page_forms import CARD, PARAMS

SERVE = replace(PARAMS.serve, max_images=3, max_request_mb=1, max_size_px=256)


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_folder(tmp_path_factory.mktemp("page") / "model")


@pytest.fixture(scope="session")
def views(model_dir: Path) -> Views:
    return Views(Classifier(model_dir), SERVE, replace(PARAMS.app, shown_px=64))


@pytest.fixture(scope="session")
def client(views: Views) -> Iterator[TestClient]:
    app = make_app(views, draw_examples(64, views.vocabulary), CARD)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client
