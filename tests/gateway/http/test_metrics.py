"""The text that Prometheus reads, and what is counted."""

import asyncio

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from turnwright.gateway.http.metrics import MeasureRequests, RequestMetrics, render


def test_gauges_and_histograms_are_spelled_as_prometheus_reads_them() -> None:
    requests = RequestMetrics()
    requests.observe("/t/{id}", 200, 0.004)
    requests.observe("/t/{id}", 429, 0.03)
    requests.observe("/t/{id}", 200, 500.0)
    lines = render({"calls_total": 3, "queue/waiting": 0.5}, requests).splitlines()
    assert lines[:3] == [
        "# HELP turnwright_calls_total Gateway: calls_total",
        "# TYPE turnwright_calls_total counter",
        "turnwright_calls_total 3.0",
    ]
    assert "# TYPE turnwright_queue_waiting gauge" in lines
    assert "turnwright_queue_waiting 0.5" in lines
    assert 'turnwright_http_requests_total{route="/t/{id}",status="200"} 2.0' in lines
    assert 'turnwright_http_requests_total{route="/t/{id}",status="429"} 1.0' in lines
    bucket = 'turnwright_http_request_seconds_bucket{route="/t/{id}",le='
    assert f'{bucket}"0.005"}} 1.0' in lines
    assert f'{bucket}"0.05"}} 2.0' in lines, "buckets are cumulative"
    assert f'{bucket}"120.0"}} 2.0' in lines
    assert f'{bucket}"+Inf"}} 3.0' in lines
    assert 'turnwright_http_request_seconds_count{route="/t/{id}"} 3.0' in lines
    assert 'turnwright_http_request_seconds_sum{route="/t/{id}"} 500.034' in lines


def test_requests_are_counted_by_pattern_whatever_becomes_of_them() -> None:
    async def answer(request: Request) -> PlainTextResponse:
        if request.path_params["id"] == "broken":
            raise ValueError("broken")
        return PlainTextResponse("")

    metrics = RequestMetrics()
    app = Starlette(routes=[Route("/t/{id}", answer)], middleware=[Middleware(MeasureRequests, metrics=metrics)])

    async def ask() -> None:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://gateway") as client:
            await client.get("/t/1")
            await client.get("/t/2")
            await client.get("/wp-admin")
            with pytest.raises(ValueError, match="broken"):
                await client.get("/t/broken")

    asyncio.run(ask())
    text = render({}, metrics)
    assert 'requests_total{route="/t/{id}",status="200"} 2.0' in text
    assert 'requests_total{route="unknown",status="404"} 1.0' in text
    assert 'requests_total{route="/t/{id}",status="499"} 1.0' in text
    assert "turnwright_http_requests_in_work 0.0" in text
