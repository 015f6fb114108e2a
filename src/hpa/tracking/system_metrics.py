"""System metrics of MLflow (processor, memory, disk, network, GPU) while a stage runs."""

import os
import threading
import time
from collections.abc import Callable

from mlflow.environment_variables import MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

INTERVAL_S = 10.0


class SystemMetrics:
    """Measure in a thread until closed.

    MLflow's own thread requests the run from the server each time and ends if that fails.
    `MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL` sets the seconds between samples (default: 10);
    `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false` turns them off.

    Args:
        log: receives the metrics, named `system/…`, and as step the seconds since the start.
    """

    def __init__(self, log: Callable[[dict[str, float], int], None]) -> None:
        self._log, self._ended = log, threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True, name="system metrics")
        if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() != "false":
            self._thread.start()

    def close(self) -> None:
        """End the thread; nothing is logged afterwards."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _measure(self) -> None:
        started, monitors = time.monotonic(), _monitors()
        interval_s = MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.get() or INTERVAL_S
        while not self._ended.wait(interval_s):
            metrics: dict[str, float] = {}
            for monitor in monitors:
                monitor.collect_metrics()
                metrics |= monitor.aggregate_metrics()
                monitor.clear_metrics()
            named = {f"system/{key}": float(value) for key, value in metrics.items()}
            self._log(named, round(time.monotonic() - started))


def _monitors() -> list[BaseMetricsMonitor]:
    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        return [*monitors, GPUMonitor()]
    except Exception:  # no NVIDIA GPU, or no library that reads one
        return monitors
