"""Prometheus metrics under TensorFlow Serving's names.

A metric's name is its internal path with every character but letters, digits and `_` turned into `:`. That is why
the text is written here and not by a Prometheus library: those refuse or change such names.
"""

import bisect
import re
import threading
from collections.abc import Sequence

# Latencies in microseconds: 33 buckets from 10 µs up to 17 minutes.
_LATENCY_BUCKETS = [10 * 1.8**exponent for exponent in range(33)]
# Requests choose the model name; without a limit they could fill the memory with names.
_MAX_LABEL_SETS = 10_000


class _Metric:
    """Values by label values."""

    kind = ""

    def __init__(self, path: str, labels: Sequence[str]):
        self.name = re.sub(r"[^A-Za-z0-9_]", ":", path)
        self._labels = tuple(labels)
        self._lock = threading.Lock()

    def text(self) -> str:
        """In Prometheus' text format."""
        return "\n".join([f"# TYPE {self.name} {self.kind}", *self._lines()]) + "\n"

    def _lines(self) -> list[str]:
        raise NotImplementedError

    def _label_text(self, values: Sequence[str], *more: str) -> str:
        pairs = [f'{label}="{_escape(value)}"' for label, value in zip(self._labels, values, strict=True)]
        return ",".join([*pairs, *more])


class Counter(_Metric):
    """Only goes up."""

    kind = "counter"

    def __init__(self, path: str, labels: Sequence[str]):
        super().__init__(path, labels)
        self._values: dict[tuple[str, ...], int] = {}

    def add(self, *label_values: str) -> None:
        """Counts one."""
        with self._lock:
            if label_values in self._values or len(self._values) < _MAX_LABEL_SETS:
                self._values[label_values] = self._values.get(label_values, 0) + 1

    def _lines(self) -> list[str]:
        with self._lock:
            return [
                f"{self.name}{{{self._label_text(labels)}}} {count}" for labels, count in sorted(self._values.items())
            ]


class Histogram(_Metric):
    """How often a value fell under each of the bounds."""

    kind = "histogram"

    def __init__(self, path: str, labels: Sequence[str]):
        super().__init__(path, labels)
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, value: float, *label_values: str) -> None:
        """Counts one value."""
        bucket = bisect.bisect_left(_LATENCY_BUCKETS, value)
        with self._lock:
            if label_values not in self._counts and len(self._counts) >= _MAX_LABEL_SETS:
                return
            counts = self._counts.setdefault(label_values, [0] * (len(_LATENCY_BUCKETS) + 1))
            counts[bucket] += 1
            self._sums[label_values] = self._sums.get(label_values, 0.0) + value

    def _lines(self) -> list[str]:
        lines = []
        bounds = [f"{bound:g}" for bound in _LATENCY_BUCKETS] + ["+Inf"]
        with self._lock:
            for labels, counts in sorted(self._counts.items()):
                total = 0
                for bound, count in zip(bounds, counts, strict=True):
                    total += count
                    bucket_labels = self._label_text(labels, f'le="{bound}"')
                    lines.append(f"{self.name}_bucket{{{bucket_labels}}} {total}")
                lines.append(f"{self.name}_sum{{{self._label_text(labels)}}} {self._sums[labels]:.10g}")
                lines.append(f"{self.name}_count{{{self._label_text(labels)}}} {total}")
        return lines


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Metrics:
    """Everything that a model server counts. Latencies are microseconds."""

    def __init__(self) -> None:
        self.request_count = Counter("/tensorflow/serving/request_count", ["model_name", "status"])
        self.request_latency = Histogram("/tensorflow/serving/request_latency", ["model_name", "API", "entrypoint"])
        self.runtime_latency = Histogram("/tensorflow/serving/runtime_latency", ["model_name", "API", "runtime"])
        self.model_warmup_latency = Histogram("/tensorflow/serving/model_warmup_latency", ["model_path", "status"])
        self.queuing_latency = Histogram("/tensorflow/serving/batching_session/queuing_latency", ["thread_pool_name"])
        self.wrapped_run_count = Counter("/tensorflow/serving/batching_session/wrapped_run_count", [])

    def text(self) -> str:
        """All of it in Prometheus' text format."""
        metrics: list[_Metric] = list(vars(self).values())
        return "".join(metric.text() for metric in metrics)
