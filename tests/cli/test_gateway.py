"""``turnwright gateway``: the server as another process, over a real socket, until it is told to stop."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli.conftest import Command

REPLIES = (
    '{"tool_calls": [{"name": "get_order", "arguments": {"order": "O3"}}]}\n'
    '{"content": "It is late: refund it.", "reasoning": "O3 is late"}\n'
)
TOOL = {"type": "function", "function": {"name": "get_order", "parameters": {"type": "object", "properties": {}}}}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A gateway that was started."""

    process: subprocess.Popen[str]
    announced: dict[str, Any]

    def call(self, method: str, path: str, key: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx2.request(method, self.announced["url"] + path, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self.call(method, path, self.announced["control_token"], body)

    def stop(self) -> str:
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0
        return out


@pytest.fixture
def replies(tmp_path: Path) -> Path:
    file = tmp_path / "replies.jsonl"
    file.write_text(REPLIES)
    return file


@contextmanager
def process(tmp_path: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    settings = (f"run.output_dir={tmp_path / 'runs'}", "run.name=desk")
    command = [sys.executable, "-m", "turnwright.cli", "gateway", *map(str, arguments), *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


@contextmanager
def standing(tmp_path: Path, replies: Path) -> Iterator[Standing]:
    with process(tmp_path, "--scripted", replies, "--json") as started:
        assert started.stdout is not None
        yield Standing(process=started, announced=json.loads(started.stdout.readline()))


def converse(gateway: Standing) -> str:
    """Play a rollout of two turns and return its trajectory's id."""
    metadata = gateway.control("POST", "/control/rollouts", {"prompt": "order: O3"})["metadata"]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "order: O3"}]
    for _ in range(2):
        body = {"model": "default", "messages": messages, "tools": [TOOL]}
        reply = gateway.call("POST", "/v1/chat/completions", metadata["api_key"], body)["choices"][0]["message"]
        calls = reply.get("tool_calls") or ()
        messages += [reply, *({"role": "tool", "tool_call_id": call["id"], "content": "late"} for call in calls)]
    trajectory_id = metadata["trajectory_id"]
    gateway.call("POST", "/complete-rollout", metadata["api_key"], {"TrajectoryId": trajectory_id})
    gateway.call("POST", "/update-reward", metadata["api_key"], {"TrajectoryId": trajectory_id, "Rewards": [0.5]})
    return trajectory_id


@pytest.mark.slow
def test_scripted_replies_are_served_recorded_and_shown_after_a_restart(tmp_path: Path, replies: Path) -> None:
    with standing(tmp_path, replies) as first:
        assert first.announced.keys() == {"url", "control_token", "run", "aws_environment"}
        assert first.announced["run"] == str(tmp_path / "runs" / "desk")
        trajectory_id = converse(first)
        shown = first.control("GET", f"/control/rollouts/{trajectory_id}")
        assert (shown["state"], shown["outcome"]["value"]) == ("rewarded", 0.5)
        assert '"arguments": {"order": "O3"}' in shown["turns"][0]["sampled_text"]
        assert "<think>O3 is late</think>It is late: refund it." in shown["turns"][1]["sampled_text"]
        assert first.stop() == ""
    with standing(tmp_path, replies) as second:
        assert second.control("GET", f"/control/rollouts/{trajectory_id}") == shown
        assert converse(second) != trajectory_id
        second.stop()


@pytest.mark.slow
def test_it_says_how_to_begin_and_where_the_records_are(tmp_path: Path, replies: Path) -> None:
    with process(tmp_path, "--scripted", replies, "--aws-env") as started:
        assert started.stdout is not None
        lines = [started.stdout.readline().rstrip() for _ in range(11)]
        started.send_signal(signal.SIGTERM)
        rest, _ = started.communicate(timeout=20)
    url = lines[0].removeprefix("gateway: ")
    records = tmp_path / "runs" / "desk" / "records"
    assert lines[1] == f"records: {records}"
    assert lines[2].startswith("control token: tw1.")
    assert lines[4].startswith(f"  curl -s {url}/control/rollouts -H 'Authorization: Bearer tw1.")
    exported = dict(shlex.split(line)[1].split("=", 1) for line in lines[5:])
    assert exported["RFT_RUNTIME_ENDPOINT"] == exported["AWS_ENDPOINT_URL_SAGEMAKERJOBRUNTIME"] == url
    assert exported.keys() >= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}
    assert (started.returncode, rest) == (0, f"stopped; what was recorded is in {records}\n")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("gateway.host=0.0.0.0", "can be reached from other machines and tokens would travel unencrypted"),
        ("gateway.tls_key=key.pem", "belong together"),
        ("gateway.colour=red", "colour"),
    ],
)
def test_a_binding_that_is_not_safe_is_refused(
    turnwright: Command, tmp_path: Path, replies: Path, setting: str, message: str
) -> None:
    result = turnwright("gateway", "--scripted", replies, f"run.output_dir={tmp_path}", setting)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no reply"), ("hello\n", "line 1: the row is wrong"), ('{"text": "hi"}\n', "line 1: ")],
)
def test_a_bad_file_of_replies_is_bad_input(turnwright: Command, tmp_path: Path, text: str, message: str) -> None:
    replies = tmp_path / "replies.jsonl"
    replies.write_text(text)
    result = turnwright("gateway", "--scripted", replies, f"run.output_dir={tmp_path}")
    assert result.code == 2
    assert message in result.err
    assert turnwright("gateway", "--scripted", tmp_path / "absent", f"run.output_dir={tmp_path}").code == 2
