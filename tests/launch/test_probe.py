"""Each fault of an agent is found by name and with its cure, through real agents that talk to a real gateway."""

import http.server
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from launch import probed_agents as agents
from turnwright.client.worker import work
from turnwright.config import RunConfig, resolve_values
from turnwright.core.errors import ConfigError, DatasetError
from turnwright.core.finding import Finding
from turnwright.core.outcome import Failed, Rewarded
from turnwright.launch import probe, probe_habits
from turnwright.launch.probe import ProbeGateway, probe_agent
from turnwright.launch.probe_codes import CODES
from turnwright.launch.probe_findings import merged
from turnwright.launch.probe_report import REPORT_ADAPTER, ProbeReport

pytestmark = pytest.mark.slow
"""Each plays several rollouts over real connections."""

PAGE = Path(__file__).parents[2] / "docs" / "agents" / "probe.md"


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LINGER_SECONDS", 0.05)
    agents.history.clear()
    agents.current = {}


def config(kind: str, target: str | None = None, *overrides: str, timeout: float = 5.0) -> RunConfig:
    agent = {"kind": kind} if target is None else {"kind": kind, "target": target}
    sections = {"agent": agent, "rollout": {"rollout_timeout": timeout}, "sampling": {"sampling_max_tokens": 4096}}
    sections["environment"] = {"name": "prompts"}
    return resolve_values(sections, source="test", overrides=overrides).config


def probed(
    agent: Callable[..., object], *overrides: str, replies: Path | None = None, timeout: float = 5.0
) -> ProbeReport:
    target = f"{agents.__name__}:{agent.__name__}"
    return probe_agent(config("function", target, *overrides, timeout=timeout), replies=replies)


@cache
def probed_once(agent: Callable[..., object]) -> ProbeReport:
    """The report of an agent that several tests look at."""
    return probed(agent)


def finding(report: ProbeReport, code: str) -> Finding:
    return next(found for found in report.findings if found.code == code)


def codes(report: ProbeReport) -> set[str]:
    return {found.code for found in report.findings}


def test_an_agent_that_keeps_the_contract_passes_with_nothing_to_say() -> None:
    report = probed_once(agents.sound)
    assert (report.passed, report.findings, report.unattributed) == (True, (), ())
    assert [rollout.number for rollout in report.rollouts] == [1, 2, 3]
    for rollout in report.rollouts:
        assert (rollout.num_model_calls, rollout.num_tool_calls, rollout.num_tool_results) == (4, 3, 3)
        assert rollout.tools == ("get_order",)
        assert isinstance(rollout.outcome, Rewarded)


def test_the_transcript_tells_what_happened_in_order() -> None:
    first = probed_once(agents.sound).rollouts[0]
    assert first.summary == (
        "4 model calls (openai-chat; 0 streamed); 3 tool calls by the policy, 3 answered; rewarded 1"
    )
    called, malformed, unknown, answered, completed, rewarded = first.lines
    assert "POST /v1/chat/completions (openai-chat; rollout named by token) -> 200: 2 messages" in called
    assert """the policy called get_order({"order": "probe", "fast": true}); back came tool: 'order probe""" in called
    assert "the policy wrote a malformed call" in malformed
    assert "error: there is no tool tool_that_does_not_exist" in unknown
    assert answered.endswith("the policy answered 'This is scripted answer 4 of probe rollout 1.'; nothing came back")
    assert completed.endswith("POST /complete-rollout (rollout named by body, token) -> 200")
    assert "POST /update-reward" in rewarded


def test_other_dialects_and_identities_are_told_apart() -> None:
    report = probed(agents.speaks_anthropic)
    assert codes(report) == {"history.tools_changed"}
    assert report.rollouts[0].summary.startswith("2 model calls (anthropic; 1 streamed); 1 tool calls by the policy, 1")
    whole, streamed, *_ = report.rollouts[0].lines
    assert "POST /t/{trajectory_id}/v1/messages (anthropic; rollout named by path, token) -> 200" in whole
    assert "(anthropic; streamed; rollout named by path, token) -> 200: 3 messages, tools: none" in streamed


@pytest.mark.parametrize(
    ("kind", "target"),
    [("handler", f"{agents.__name__}:handler"), ("subprocess", f"{sys.executable} {agents.__file__}")],
)
def test_agents_of_every_kind_are_probed(
    kind: str, target: str, monkeypatch: pytest.MonkeyPatch, child_environment: dict[str, str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", child_environment["PYTHONPATH"])
    report = probe_agent(config(kind, target, timeout=20))
    assert (report.passed, report.findings) == (True, ())
    assert report.agent == f"{kind} agent {target}"


def test_a_function_agent_may_return_its_reward() -> None:
    report = probed(agents.returns_reward)
    assert report.passed
    assert report.rollouts[0].summary.endswith("rewarded 0.5")


@pytest.mark.parametrize(
    ("agent", "code", "evidence", "cure"),
    [
        (agents.never_samples, "sample.none", "no model call", "metadata.endpoint"),
        (agents.wrong_key, "identity.refused", "AWS's rollout decorator", "metadata.api_key"),
        (agents.no_v1, "path.unknown", "POST /chat/completions", "'/v1'"),
        (agents.goes_on_without_result, "tools.ignored", "went on without a result", "role 'tool'"),
        (agents.crashes_on_malformed, "tools.malformed", "KeyError: 'invalid_tool_call'", "ask the policy again"),
        (agents.crashes_on_unknown, "tools.unknown", "KeyError: 'tool_that_does_not_exist'", "ask the policy again"),
        (agents.no_completion, "complete.none", "not sealed", "/complete-rollout"),
        (agents.no_completion, "reward.none", "gave no reward", "/update-reward"),
        (agents.rewards_nan, "reward.refused", "NaN", "finite numbers"),
        (agents.rewards_too_much, "reward.refused", "1e+300", "at most 1e6"),
        (agents.wants_many, "fields.refused", "n must be 1 or absent", "leave the field out"),
        (agents.skips, "agent.skipped", "skipped", "--prompt"),
        (agents.breaks, "agent.failed", "RuntimeError: out of coffee", "mend what the evidence names"),
    ],
)
def test_what_breaks_the_contract_is_an_error_with_its_cure(
    agent: Callable[..., object], code: str, evidence: str, cure: str
) -> None:
    report = probed_once(agent)
    found = finding(report, code)
    assert (report.passed, found.severity, found.where.split(",")[0]) in {
        (False, "error", "rollout 1"),
        (False, "error", "requests of no rollout"),
    }
    assert evidence in found.evidence
    assert cure in found.cure


@pytest.mark.parametrize(
    ("agent", "code", "severity", "evidence", "cure"),
    [
        (agents.without_tools, "sample.no_tools", "info", "none of the 2 model calls", "'tools' of each request"),
        (agents.ignores_tool_calls, "tools.ignored", "warning", "ended the rollout", "--replies"),
        (agents.rewards_first, "reward.early", "info", "before POST /complete-rollout", "nothing needs to change"),
        (agents.reports_twice, "complete.twice", "warning", "409", "ClientToken"),
        (agents.reports_twice, "reward.twice", "warning", "409", "ClientToken"),
        (agents.retries, "sample.retried", "warning", "repeated 1 model call", "timeout"),
        (agents.retries, "sample.short_timeout", "warning", "waits 5 s", "minutes"),
        (agents.drops_thinking, "history.thinking_dropped", "warning", "a training row", "reasoning_content"),
        (agents.edits_history, "history.history_edited", "warning", "(turn 4)", "as they came"),
        (agents.odd_fields, "fields.ignored", "info", "store (4 times), user (4 times)", "leave them out"),
        (agents.asks_for_little, "reply.cut", "info", "turn 0", "maxTokens"),
        (agents.talks_after_the_end, "seal.calls_after", "warning", "Cannot transition trajectory", "before the compl"),
        (agents.hangs_up, "reply.abandoned", "warning", "(turn 0)", "to its end"),
    ],
)
def test_what_only_costs_is_named_and_passes(
    agent: Callable[..., object], code: str, severity: str, evidence: str, cure: str
) -> None:
    report = probed_once(agent)
    found = finding(report, code)
    assert (report.passed, found.severity, found.where) == (True, severity, "rollout 1, rollout 2, rollout 3")
    assert evidence in found.evidence
    assert cure in found.cure


@pytest.mark.parametrize(
    ("agent", "code", "severity", "evidence", "cure"),
    [
        (agents.names_nothing, "identity.missing", "error", "does not say which", "X-Amzn-SageMaker-Trajectory-Id"),
        (agents.names_a_rollout_of_old, "identity.unknown", "error", "'t-0123'", "trajectory_id"),
        (agents.is_a_stranger, "identity.unbound", "info", "1 requests", "metadata.api_key"),
    ],
)
def test_where_strangers_are_let_in_the_rollout_must_still_be_named(
    agent: Callable[..., object], code: str, severity: str, evidence: str, cure: str
) -> None:
    found = finding(probed(agent, "gateway.accept_unscoped_tokens=true"), code)
    assert found.severity == severity
    assert evidence in found.evidence
    assert cure in found.cure


def test_a_completed_rollout_without_reward_is_waited_for_and_named() -> None:
    report = probed(agents.completes_alone, timeout=0.3)
    assert codes(report) == {"reward.none"}
    assert finding(report, "reward.none").severity == "error"


def test_limits_that_an_agent_meets_are_named() -> None:
    hurried = finding(probed(agents.sound, "gateway.calls_per_second=0.5"), "sample.throttled")
    assert (hurried.severity, "429" in hurried.evidence, "calls_per_second" in hurried.cure) == ("warning", True, True)
    agent = config("function", f"{agents.__name__}:sound", "sampling.max_sequence_length=4100")
    wordy = finding(probe_agent(agent, prompt="order: O3 " * 2000), "sample.too_long")
    assert (wordy.severity, "leaves no room for a reply" in wordy.evidence) == ("warning", True)
    assert "shorten the prompt" in wordy.cure


def test_a_report_that_comes_too_late_is_told_from_a_second_one() -> None:
    report = probed(agents.is_late, timeout=0.2)
    assert finding(report, "complete.late").severity == "error"
    assert "--timeout" in finding(report, "complete.late").cure
    assert "complete.twice" not in codes(report)


def test_a_slow_first_call_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_habits, "SLOW_SECONDS", 0.0)
    found = finding(probed(agents.sound), "agent.slow_start")
    assert (found.severity, "after the agent was asked" in found.evidence) == ("info", True)


def test_an_agent_that_never_ends_meets_the_limit_of_calls() -> None:
    found = finding(probed(agents.never_ends), "agent.never_ends")
    assert f"all {probe.MOST_CALLS} model calls" in found.evidence
    assert "--replies" in found.cure


@pytest.mark.parametrize(
    ("agent", "evidence"),
    [
        (agents.keeps_identity_in_a_global, "where rollout 1, alone, had 1"),
        (agents.keeps_the_first_identity, "came for rollout 1, which was over"),
        (agents.keeps_history_in_a_global, "carried a reply that was given to rollout 1"),
        (agents.mixes_header_and_key, "named rollouts"),
    ],
)
def test_rollouts_that_get_mixed_up_side_by_side_are_noticed(agent: Callable[..., object], evidence: str) -> None:
    report = probed(agent)
    found = finding(report, "rollouts.mixed")
    assert (report.passed, found.severity) == (False, "error")
    assert evidence in found.evidence
    assert "anew for each rollout" in found.cure
    assert isinstance(report.rollouts[0].outcome, Rewarded)


def test_an_agent_behind_http_passes_whether_it_answers_at_once_or_at_its_end() -> None:
    for wait in (False, True):
        with agents.serving(agents.sound, wait=wait) as url:
            assert probe_agent(config("http", url)).findings == ()


def test_an_agent_that_is_not_there_is_unreachable() -> None:
    with agents.serving(agents.sound) as url:
        pass
    report = probe_agent(config("http", url))
    assert [found.code for found in report.findings] == ["agent.unreachable"]
    assert "host, port and path" in report.findings[0].cure
    assert (report.passed, report.rollouts) == (False, ())


def test_an_agent_without_a_health_route_is_probed_all_the_same() -> None:
    class Agent(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            agents.sound(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Agent) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        report = probe_agent(config("http", f"http://127.0.0.1:{server.server_port}/rollout"))
        server.shutdown()
        thread.join()
    assert codes(report) == {"agent.no_health"}
    assert "GET /health" in finding(report, "agent.no_health").cure
    assert len(report.rollouts) == 3


def test_a_crash_in_an_accepted_rollout_is_seen_by_what_did_not_come_back() -> None:
    with agents.serving(agents.crashes_on_malformed) as url:
        report = probe_agent(config("http", url, timeout=0.4))
    assert codes(report) == {"tools.malformed", "complete.none", "reward.none"}
    assert "timeout" in finding(report, "tools.malformed").evidence


def test_workers_of_a_queue_are_told_where_to_come() -> None:
    stop = threading.Event()
    workers: list[threading.Thread] = []

    def start(gateway: ProbeGateway) -> None:
        options = {"concurrency": 2, "wait_seconds": 5.0, "stop": stop}
        arguments = (gateway.url, gateway.worker_token, agents.sound)
        workers.append(threading.Thread(target=work, args=arguments, kwargs=options))
        workers[0].start()

    try:
        report = probe_agent(config("queue"), on_open=start)
    finally:
        stop.set()
        workers[0].join()
    assert (report.passed, report.findings) == (True, ())


def test_own_replies_take_the_place_of_the_scripted_ones(tmp_path: Path) -> None:
    replies = tmp_path / "replies.jsonl"
    replies.write_text('{"content": "hello"}\n')
    report = probed(agents.sound, replies=replies)
    assert (report.passed, report.rollouts[0].num_model_calls) == (True, 1)
    assert "the policy answered 'hello'" in report.rollouts[0].lines[0]
    replies.write_text('{"content": "hello", "prompt": "never asked"}\n')
    assert "replies.none" in codes(probed(agents.sound, replies=replies))
    with pytest.raises(DatasetError, match="there is no file"):
        probed(agents.sound, replies=tmp_path / "absent.jsonl")


def test_the_built_in_agent_needs_no_probe() -> None:
    with pytest.raises(ConfigError, match="the built-in agent needs no probe"):
        probe_agent(config("builtin"))


def test_the_report_is_one_json_object_that_reads_back() -> None:
    report = probed_once(agents.breaks)
    assert REPORT_ADAPTER.validate_json(report.to_json()) == report
    assert isinstance(report.rollouts[0].outcome, Failed)


def test_findings_of_one_code_are_merged_into_the_worst_of_them() -> None:
    mild = Finding(code="tools.ignored", severity="warning", where="rollout 1", evidence="mild", cure="cure")
    bad = replace(mild, severity="error", where="rollout 3", evidence="bad")
    note = replace(mild, code="fields.ignored", severity="info")
    assert merged([note, mild, bad, bad]) == (replace(bad, where="rollout 1, rollout 3"), note)


def test_every_code_is_explained_in_the_documentation() -> None:
    page = PAGE.read_text()
    assert [code for code in CODES if f"`{code}`" not in page] == []
