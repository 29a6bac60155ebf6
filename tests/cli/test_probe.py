"""``turnwright probe``: what it prints, and how it exits."""

import json
from pathlib import Path

import pytest

from cli.conftest import Command
from launch import probed_agents as agents
from turnwright.launch import probe

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LINGER_SECONDS", 0.05)


def function(name: str) -> tuple[str, ...]:
    return ("--kind", "function", "--target", f"{agents.__name__}:{name}", "--timeout", "5")


def test_a_sound_agent_exits_0_with_a_transcript(turnwright: Command) -> None:
    with agents.serving(agents.sound) as url:
        result = turnwright("probe", url, "--prompt", "order: O3")
    assert (result.code, result.err) == (0, "")
    first, *lines = result.out.splitlines()
    assert first == f"http agent {url}: keeps the contract"
    assert sum(line.startswith("rollout ") for line in lines) == 3
    assert "  to do: " not in result.out


def test_a_faulty_agent_exits_1_and_is_told_what_to_do(turnwright: Command) -> None:
    result = turnwright("probe", *function("never_samples"))
    assert (result.code, result.err) == (1, "")
    assert "BREAKS the contract" in result.out
    assert "error sample.none (rollout 1): no model call was carried out" in result.out
    assert "  to do: have the agent ask its model at metadata.endpoint" in result.out


def test_requests_of_no_rollout_are_shown(turnwright: Command) -> None:
    result = turnwright("probe", *function("wrong_key"))
    assert result.code == 1
    assert "requests of no rollout:\n" in result.out
    assert "no valid key, named by nothing) -> 403 no credential of this run" in result.out


def test_json_is_one_document(turnwright: Command) -> None:
    result = turnwright("probe", *function("no_completion"), "--json")
    report = json.loads(result.out)
    assert result.code == 1
    assert report.keys() == {"agent", "passed", "findings", "rollouts", "unattributed"}
    assert [found["code"] for found in report["findings"]] == ["complete.none", "reward.none"]
    assert report["findings"][0].keys() == {"code", "severity", "where", "evidence", "cure"}
    assert report["rollouts"][0]["outcome"]["cause"] == "no_reward"


def test_settings_of_a_run_may_be_changed(turnwright: Command) -> None:
    stranger = function("is_a_stranger")
    assert turnwright("probe", *stranger).code == 1
    result = turnwright("probe", *stranger, "--set", "gateway.accept_unscoped_tokens=true")
    assert (result.code, "info identity.unbound" in result.out) == (0, True)


def test_own_replies_are_spoken(turnwright: Command, tmp_path: Path) -> None:
    replies = tmp_path / "replies.jsonl"
    replies.write_text('{"content": "good morning"}\n')
    result = turnwright("probe", *function("sound"), "--replies", replies)
    assert (result.code, "the policy answered 'good morning'" in result.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say where the agent is, once"),
        (("http://127.0.0.1:1", "--target", "http://127.0.0.1:2"), "say where the agent is, once"),
        (("http://127.0.0.1:1", "--kind", "function"), "a URL reaches an agent of the kind 'http'"),
        (("--kind", "builtin"), "--kind 'builtin' is no way to reach an agent"),
        (("--kind", "queue", "--target", "a.py:b"), "workers of a queue come by themselves"),
        (("ftp://127.0.0.1",), "must be like 'http://"),
        (("--kind", "function", "--target", "absent.py:agent"), "there is no file"),
        (("http://127.0.0.1:1", "--timeout", "0"), "rollout.rollout_timeout"),
        (("http://127.0.0.1:1", "--replies", "absent.jsonl"), "there is no file"),
        (("http://127.0.0.1:1", "--set", "gateway.host=0.0.0.0"), "can be reached from other machines"),
    ],
)
def test_bad_arguments_exit_2(turnwright: Command, arguments: tuple[str, ...], message: str) -> None:
    result = turnwright("probe", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_workers_of_a_queue_are_told_url_and_token(turnwright: Command) -> None:
    result = turnwright("probe", "--kind", "queue", "--timeout", "0.2")
    assert result.code == 1
    assert "export TURNWRIGHT_ENDPOINT=http://127.0.0.1:" in result.err
    assert "export TURNWRIGHT_WORKER_TOKEN=tw1." in result.err
    assert "error agent.unreachable (rollout 1): no worker fetched a rollout within 0.2 s" in result.out
