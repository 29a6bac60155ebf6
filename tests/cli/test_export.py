"""``turnwright export``: what it refuses, and the service as another process until it is told to stop."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from cli.conftest import Command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "choose how to serve the environment: --mcp or --openenv"),
        (["--mcp", "--openenv"], "choose how to serve"),
        (["--mcp"], "name a file for the graded episodes, with --episodes"),
        (["--openenv", "--host", "0.0.0.0"], "give a token (--token, or TURNWRIGHT_EXPORT_TOKEN), or bind 127.0.0.1"),
        (["--openenv", "--host", "0.0.0.0", "--token", "t"], "the token would travel unencrypted"),
        (["--openenv", "--tls-key", "key.pem"], "--tls-certificate and --tls-key belong together"),
        (["--openenv", "--port", "0", "--task", "none"], "no task with id 'none'; there are 120 train"),
    ],
)
def test_what_cannot_be_served_is_refused(turnwright: Command, arguments: list[str], words: str) -> None:
    options = [f"--option={split}_tasks=120" for split in ("train", "validation", "test")]
    ended = turnwright("export", "returns_desk", *arguments, *options)
    assert ended.code == 2
    assert words in ended.err


@pytest.mark.slow
def test_service_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    command = ["returns_desk", "--openenv", "--port", "0", "--json", "--task", "train-7", "--episodes", str(path)]
    with subprocess.Popen(
        [sys.executable, "-m", "turnwright.cli", "export", *command], stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            assert service.stdout is not None
            url = json.loads(service.stdout.readline())["url"]
            first = httpx2.post(f"{url}/reset", json={"seed": 3}).json()
            assert first["metadata"]["task_id"] == "train-7"
            assert httpx2.post(f"{url}/step", json={"action": {"message": "no idea"}}).json()["reward"] == -0.1
            httpx2.post(f"{url}/reset", json={"index": 2})
            service.send_signal(signal.SIGTERM)
            assert service.wait(20) == 0
        finally:
            service.kill()
    kinds = [json.loads(line)["outcome"]["kind"] for line in path.read_text().splitlines()]
    assert kinds == ["rewarded", "failed"]
