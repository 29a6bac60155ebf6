import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from client.stub_gateway import StubGateway
from turnwright.client import Rollout, RolloutServer, rollout_handler
from turnwright.client.transport import Answer, exchange


@contextmanager
def serving(handler: Callable[[Any], Any], **options: Any) -> Iterator[str]:
    """Serve until the block ends, then wait for the rollouts in work."""
    with RolloutServer(handler, port=0, **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def call(method: str, url: str, content: Any = None) -> tuple[int, Any]:
    body = b"" if content is None else json.dumps(content).encode()
    answer = exchange(method, url, headers={"Content-Type": "application/json"}, body=body, seconds=5)
    assert isinstance(answer, Answer)
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("path", ["/rollout", "/invocations", "/rollout?qualifier=DEFAULT"])
def test_a_rollout_is_accepted_before_it_is_done(gateway: StubGateway, path: str) -> None:
    go_on = threading.Event()

    @rollout_handler
    def agent(rollout: Rollout) -> float:
        assert go_on.wait(5)
        return 1.0

    with serving(agent) as url:
        assert call("POST", url + path, gateway.payload()) == (200, {"status": "accepted"})
        assert gateway.reports() == []
        go_on.set()
    assert [path for path, _ in gateway.reports()] == ["/complete-rollout", "/update-reward"]


def test_the_answer_may_wait_for_the_rollout(gateway: StubGateway) -> None:
    @rollout_handler
    async def agent(rollout: Rollout) -> float:
        if rollout.trajectory_id == "t-bad":
            raise RuntimeError("no such order")
        return 1.0

    with serving(agent, wait=True) as url:
        assert call("POST", url + "/rollout", gateway.payload()) == (200, {"status": "completed"})
        assert len(gateway.reports()) == 2
        failed = (500, {"status": "error", "error": "RuntimeError: no such order"})
        assert call("POST", url + "/rollout", gateway.payload("t-bad")) == failed
    assert gateway.reports()[2:] == [
        ("/complete-rollout", {"Status": "failed", "Detail": "RuntimeError: no such order"})
    ]


def test_failures_in_the_background_are_logged(gateway: StubGateway, caplog: pytest.LogCaptureFixture) -> None:
    @rollout_handler
    def agent(rollout: Rollout) -> float:
        raise RuntimeError("no such order")

    with serving(agent) as url:
        call("POST", url + "/rollout", gateway.payload())
    assert "RuntimeError: no such order" in caplog.text


@pytest.mark.parametrize("path", ["/health", "/ping"])
def test_health(path: str) -> None:
    with serving(lambda payload: None) as url:
        assert call("GET", url + path) == (200, {"status": "healthy"})


def test_other_requests_are_refused_with_what_is_expected(gateway: StubGateway) -> None:
    with serving(lambda payload: pytest.fail("the handler ran")) as url:
        assert call("GET", url + "/rollout")[0] == 404
        assert call("POST", url + "/health", gateway.payload()) == (
            404,
            {"error": "no such path: /health; POST to one of /rollout, /invocations"},
        )
        status, answer = call("POST", url + "/rollout", {"prompt": "x"})
        assert (status, answer["error"]) == (400, "rollout request lacks 'metadata'; it has: prompt")
        assert call("POST", url + "/rollout", [1])[0] == 400
        assert _post_with(url, {"Transfer-Encoding": "chunked"}) == 411
        assert _post_with(url, {"Content-Length": "-5"}) == 411
        assert _post_with(url, {"Content-Length": str(2**30)}) == 413


def _post_with(url: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    connection.putrequest("POST", "/rollout")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def test_rollouts_above_the_limit_wait_for_their_turn(gateway: StubGateway) -> None:
    lock = threading.Lock()
    running, most = 0, 0

    @rollout_handler
    def agent(rollout: Rollout) -> float:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.01)
        with lock:
            running -= 1
        return 1.0

    with serving(agent, max_rollouts=2) as url:
        for number in range(6):
            call("POST", url + "/rollout", gateway.payload(f"t-{number}"))
    assert most == 2
    assert {body["TrajectoryId"] for body in gateway.bodies("/update-reward")} == {f"t-{n}" for n in range(6)}


PROGRAM = """
import logging, signal, time
from turnwright.client import rollout_handler, serve

signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background may have it ignored
logging.basicConfig(level="INFO", format="%(message)s")

@rollout_handler
def agent(rollout):
    logging.info("started")
    time.sleep(0.2)
    return 1.0

serve(agent, port=0)
logging.info("ended")
"""


@pytest.mark.slow
def test_an_interrupted_server_finishes_what_it_accepted(
    gateway: StubGateway, child_environment: dict[str, str]
) -> None:
    child = subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE, text=True, env=child_environment)
    with child:
        assert child.stderr is not None
        url = child.stderr.readline().removeprefix("serving rollouts at ").strip()
        assert call("POST", url + "/rollout", gateway.payload()) == (200, {"status": "accepted"})
        assert child.stderr.readline() == "started\n"
        child.send_signal(signal.SIGINT)
        assert child.stderr.read() == "interrupted; waiting for the rollouts in work\nended\n"
    assert child.returncode == 0
    assert gateway.reports()[-1] == ("/update-reward", {"Rewards": [1.0]})
