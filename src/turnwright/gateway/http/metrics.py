"""Numbers of the server in Prometheus text format 0.0.4: requests as they end -> RequestMetrics -> GET /metrics.

The format is a dozen lines of text (https://prometheus.io/docs/instrumenting/exposition_formats/), so that no client
library is needed. Routes are labelled by their pattern, never by the path itself: ids would make a series each.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the latency histogram, in seconds; a long reply of a large model takes minutes."""

UNKNOWN_ROUTE = "unknown"
"""Label of every path that no route has."""


@dataclass(slots=True)
class _Latency:
    """Histogram of one route."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    """Requests per bucket, the last one without a bound."""
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        at = next((index for index, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        self.counts[at] += 1
        self.total += seconds


class RequestMetrics:
    """Counts requests and their latency by route and status."""

    def __init__(self) -> None:
        """Start at zero."""
        self.in_work = 0
        """Requests that have begun and not ended; a stream is in work until its last event."""
        self._requests: dict[tuple[str, int], int] = defaultdict(int)
        self._latencies: dict[str, _Latency] = defaultdict(_Latency)

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Take one request that has ended.

        Args:
            route: Pattern of the path.
            status: HTTP status; 499 when the client left before one was sent.
            seconds: From the request's first byte to the answer's last.
        """
        self._requests[route, status] += 1
        self._latencies[route].observe(seconds)

    def lines(self) -> Iterable[str]:
        """Yield the series of all routes."""
        yield from _family("turnwright_http_requests_in_work", "gauge", "Requests in work", [({}, self.in_work)])
        counted = [
            ({"route": route, "status": str(status)}, count)
            for (route, status), count in sorted(self._requests.items())
        ]
        yield from _family("turnwright_http_requests_total", "counter", "Requests by route and status", counted)
        name = "turnwright_http_request_seconds"
        yield f"# HELP {name} Seconds from request to the end of its answer"
        yield f"# TYPE {name} histogram"
        for route, latency in sorted(self._latencies.items()):
            reached = 0
            for bound, count in zip((*map(repr, BUCKETS), "+Inf"), latency.counts, strict=True):
                reached += count
                yield _sample(f"{name}_bucket", {"route": route, "le": bound}, reached)
            yield _sample(f"{name}_sum", {"route": route}, latency.total)
            yield _sample(f"{name}_count", {"route": route}, reached)


class MeasureRequests:
    """ASGI middleware: tells RequestMetrics of every request, streams included."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        """Wrap ``app``."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and measure it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 499
        began = time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.in_work += 1
        try:
            await self._app(scope, receive, watch)
        finally:
            self._metrics.in_work -= 1
            self._metrics.observe(_route_of(scope), status, time.perf_counter() - began)


def render(gauges: Mapping[str, float], requests: RequestMetrics) -> str:
    """Return the text of GET /metrics.

    Args:
        gauges: Numbers of the gateway by name, such as ``trajectories_open``; each becomes ``turnwright_<name>``, and
            those that end in ``_total`` are counters.
        requests: What the server counted.
    """
    lines: list[str] = []
    for name, value in sorted(gauges.items()):
        spelled = "turnwright_" + "".join(letter if letter.isalnum() else "_" for letter in name)
        kind = "counter" if name.endswith("_total") else "gauge"
        lines.extend(_family(spelled, kind, f"Gateway: {name}", [({}, value)]))
    lines.extend(requests.lines())
    return "\n".join(lines) + "\n"


def _route_of(scope: Mapping[str, Any]) -> str:
    return getattr(scope.get("route"), "path", UNKNOWN_ROUTE)


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Iterable[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield _sample(name, labels, value)


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """Label values here are route patterns, statuses and bounds: nothing in them needs escaping."""
    spelled = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"{name}{{{spelled}}} {float(value)!r}" if spelled else f"{name} {float(value)!r}"
