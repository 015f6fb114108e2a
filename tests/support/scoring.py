"""MLflow's scoring server with a saved model."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from hpa.serving.mlflow_model import SERVER


@contextmanager
def scoring_server(model: Path) -> Iterator[str]:
    """Run MLflow's scoring server in a thread, by the app string of `models serve`; its address."""
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as listening:
        patch.setenv("__pyfunc_model_path__", str(model))
        patch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # which the server sets itself
        config = uvicorn.Config(f"{SERVER}:app", log_config=None)
        config.load_app()  # outside the event loop, as the command line does for one worker
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/invocations"
        server.should_exit = True
        thread.join()
        del sys.modules[SERVER]
