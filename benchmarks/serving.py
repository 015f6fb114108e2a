"""Load test and malformed requests against `mlflow models serve`.

    python benchmarks/serving.py           a few minutes, after python src/promote.py RUN_ID
    python benchmarks/serving.py --model FOLDER --requests 40 --malformed 400

Starts `mlflow models serve` for the champion (or a model folder) on a free port. 8 clients send 200
requests, without any error; latency and images per second are printed. Then 2,000 malformed ones
(`benchmarks/malformed.py`) follow: each must get a 4xx status, memory must return to within 150 MB,
and a valid request must get the same probabilities as before, within 1e-5. Exits with 1 if not.
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

import malformed  # noqa: E402
from malformed import body, draw_request, image, post  # noqa: E402

from hpa.config.params import load_params  # noqa: E402
from hpa.inference.models import read_model_vocabulary  # noqa: E402
from hpa.tracking.address import tracking_uri  # noqa: E402
from hpa.tracking.registered_models import model_folder  # noqa: E402

START_S, RESPONSE_S = 300, 120
MAX_GROWTH_MB = 150
N_ATTACKERS = 8


def main() -> None:
    """Serve the model, send valid and malformed requests, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="models:/hpa@champion", help="or a model folder")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--malformed", type=int, default=2000)
    parser.add_argument("--image-size", type=int, default=256, help="pixels")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()

    with model_folder(arguments.model) as folder:
        malformed.CHANNELS[:] = read_model_vocabulary(folder).channels.channels
    draw = random.Random(arguments.seed)
    good = [body(image(draw, arguments.image_size)) for _ in range(arguments.clients)]
    with served(arguments.model) as (port, process):
        expected = [probabilities(port, each) for each in good]
        failures = load(port, good, expected, arguments.requests)
        before = memory_mb(process)
        failures += attack(port, arguments.malformed, arguments.seed)
        failures += compare_memory(process, before)
        if not np.allclose(probabilities(port, good[0]), expected[0], atol=1e-5):
            failures.append("a valid request got other probabilities afterwards")
    print("\n".join(failures) or "all checks passed")
    sys.exit(bool(failures))


@contextmanager
def served(model: str) -> Iterator[tuple[int, psutil.Process]]:
    """Run MLflow's server for a model; yield its port and process."""
    with TemporaryDirectory(prefix="hpa-serving-") as name:
        if Path(model).is_dir():
            model = as_mlflow_model(Path(model), Path(name) / "model")
        port = free_port()
        command = ["mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
        log = Path(name) / "log"
        with log.open("w") as stream:
            server = subprocess.Popen(
                [*command, "--port", str(port)],
                stdout=stream,
                stderr=stream,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            )
        try:
            await_server(server, port, log)
            yield port, psutil.Process(server.pid)
        finally:
            with suppress(psutil.Error):  # it has ended already
                for child in psutil.Process(server.pid).children(recursive=True):
                    child.terminate()
            server.terminate()
            server.wait()


def as_mlflow_model(folder: Path, path: Path) -> str:
    """Write a model folder as an MLflow model."""
    from hpa.tracking.model_files import save_model

    save_model(path, folder, load_params(ROOT / "params.yaml").serve)
    return str(path)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_server(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the server responds."""
    started = time.monotonic()
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
        except OSError:
            if server.poll() is not None or time.monotonic() - started > START_S:
                sys.exit(f"the server did not start:\n{log.read_text()}")
            time.sleep(0.5)
        else:
            print(f"the server responds after {time.monotonic() - started:.1f} s")
            return


def probabilities(port: int, content: bytes) -> np.ndarray:
    """Request the probabilities of images."""
    status, response = exchange(port, post(content))
    if status != 200:
        raise RuntimeError(f"a valid request got {status}: {response[:300]!r}")
    rows = json.loads(response.partition(b"\r\n\r\n")[2])["predictions"]
    return np.array([list(row["probabilities"].values()) for row in rows])


def load(port: int, good: list[bytes], expected: list[np.ndarray], n: int) -> list[str]:
    """Let every client send its request repeatedly; return the failures."""

    def send(number: int) -> tuple[float, str | None]:
        started, which = time.monotonic(), number % len(good)
        try:
            right = np.allclose(probabilities(port, good[which]), expected[which], atol=1e-5)
        except (OSError, RuntimeError, ValueError) as error:
            return time.monotonic() - started, f"request {number}: {error}"
        return (
            time.monotonic() - started,
            None if right else f"request {number}: other probabilities",
        )

    started = time.monotonic()
    with ThreadPoolExecutor(len(good)) as clients:
        results = list(clients.map(send, range(n)))
    seconds = time.monotonic() - started
    latencies = 1000 * np.array([latency for latency, _ in results])
    failures = [failure for _, failure in results if failure]
    print(
        f"{n} requests of {len(good)} clients: {len(failures)} errors, {n / seconds:.1f} images/s; "
        f"latency median {np.median(latencies):.0f} ms, 95 % {np.quantile(latencies, 0.95):.0f} ms"
    )
    return failures


def attack(port: int, n: int, seed: int) -> list[str]:
    """Send malformed requests; return those with any other status than 4xx."""
    max_bytes = load_params(ROOT / "params.yaml").serve.max_request_mb * 10**6
    statuses: Counter[str] = Counter()
    failures = []

    def send(number: int) -> tuple[str, int | None, bytes]:
        kind, request = draw_request(random.Random(f"{seed} {number}"), max_bytes)
        return kind, *exchange(port, request)

    with ThreadPoolExecutor(N_ATTACKERS) as clients:
        for number, (kind, status, response) in enumerate(clients.map(send, range(n))):
            statuses[str(status)] += 1
            if status is None or not 400 <= status < 500:
                result = f"got {status}: {response[:300]!r}"
                failures.append(f"malformed request {number} ({kind}) {result}")
    counts = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    print(f"{n} malformed requests: {counts}")
    return failures


def exchange(port: int, request: bytes) -> tuple[int | None, bytes]:
    """Send bytes and read the response; return its status, None if there was none."""
    with socket.create_connection(("127.0.0.1", port), timeout=RESPONSE_S) as connection:
        with suppress(OSError):  # the server may close before all is sent
            connection.sendall(request)
        return read_response(connection)


def read_response(connection: socket.socket) -> tuple[int | None, bytes]:
    """Read until the server closes."""
    response = bytearray()
    try:
        while piece := connection.recv(65536):
            response += piece
    except OSError as error:
        if not response:
            return None, repr(error).encode()
    words = bytes(response[:40]).split()
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else None), bytes(response)


def memory_mb(process: psutil.Process) -> float:
    """Return the resident memory of a process and its children, in MB."""
    tree = [process, *process.children(recursive=True)]
    return sum(each.memory_info().rss for each in tree) / 1e6


def compare_memory(process: psutil.Process, before: float) -> list[str]:
    """Compare memory with its level before; it may take some seconds to return."""
    for _ in range(10):
        time.sleep(1)
        if (after := memory_mb(process)) - before < MAX_GROWTH_MB:
            break
    print(f"memory: {before:.0f} MB before, {after:.0f} MB after")
    return [] if after - before < MAX_GROWTH_MB else [f"memory grew by {after - before:.0f} MB"]


if __name__ == "__main__":
    main()
