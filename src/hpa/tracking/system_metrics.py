"""System metrics of MLflow (processor, memory, disk, network, GPU) while a stage runs."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlflow.environment_variables import MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor


@contextmanager
def system_metrics(log: Callable[[dict[str, float], int], None]) -> Iterator[None]:
    """Measure in a thread during the block.

    They are off by default, as MLflow's are: `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=true` turns
    them on, `MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL` sets the seconds between samples (10).
    MLflow's own thread requests the run from the server each time and ends if that fails.

    Args:
        log: receives the metrics, named `system/…`, and as step the seconds since the start.
    """
    if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "").lower() not in ("true", "1"):
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(
        target=_measure, args=(log, ended), daemon=True, name="system metrics"
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _measure(log: Callable[[dict[str, float], int], None], ended: threading.Event) -> None:
    started, monitors = time.monotonic(), _monitors()
    while not ended.wait(MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.get() or 10.0):
        metrics: dict[str, float] = {}
        for monitor in monitors:
            monitor.collect_metrics()
            metrics |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        named = {f"system/{key}": float(value) for key, value in metrics.items()}
        log(named, round(time.monotonic() - started))


def _monitors() -> list[BaseMetricsMonitor]:
    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        return [*monitors, GPUMonitor()]
    except Exception:  # no NVIDIA GPU, or no library that reads one
        return monitors
