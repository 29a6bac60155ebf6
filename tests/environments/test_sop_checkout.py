"""A checkout is all its domains: own instructions and tools per task, ids by domain, and one broken domain no end."""

import asyncio
import json
from pathlib import Path

import pytest

from environments.sop_domains_made import LOOKUPS, ROWS, write_domain
from turnwright.audit.check import check
from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.core.message import ToolCall
from turnwright.environments import load_environment
from turnwright.environments.sop.checkout import SopCheckout, find_domains, load_domains

GATES = {"name": "gates", "output_columns": ["decision"], "input_columns": ["badge", "zone"]}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    data = tmp_path / "src" / "bench" / "data"
    write_domain(data / "badges", lookups=LOOKUPS)
    write_domain(data / "gates", metadata=GATES, lookups=LOOKUPS[1:2], procedure="Open the gate.")
    write_domain(data / "broken", metadata={"name": "broken"})
    (data / "broken" / "toolspecs.json").write_text("{")
    (tmp_path / ".git").mkdir()
    (tmp_path / "docs").mkdir()
    return tmp_path


def test_every_domain_below_a_folder_is_found(checkout: Path) -> None:
    assert [path.name for path in find_domains(checkout)] == ["badges", "broken", "gates"]
    assert find_domains(checkout / "src/bench/data/gates") == (checkout / "src/bench/data/gates",)
    assert [domain.folder.name for domain in load_domains(f"sop:{checkout}")] == ["badges", "gates"]


def test_tasks_of_all_domains_have_ids_clusters_and_prompts_of_their_own(checkout: Path) -> None:
    environment = load_environment(f"sop:{checkout}")
    assert isinstance(environment, SopCheckout)
    tasks = environment.tasks("test")
    assert len({task.id for task in tasks}) == 2 * len(ROWS)
    assert {task.cluster for task in tasks} == {"badges", "gates"}
    assert (tasks[0].id, tasks[0].prompt) == ("badges/badges-0", "badge: 007")
    assert (tasks[-1].id, tasks[-1].prompt) == ("gates/gates-3", "badge: 010\nzone: NA")
    with pytest.raises(DatasetError, match="'train'"):
        environment.tasks("train")


def test_episode_has_the_instructions_tools_and_reward_of_its_domain(checkout: Path) -> None:
    environment = load_environment(f"sop:{checkout}")
    assert isinstance(environment, SopCheckout)
    first, *_, last = environment.tasks("test")
    episodes = [environment.for_episode() for _ in range(2)]
    for episode, task in zip(episodes, (first, last), strict=True):
        episode.open(task, 0)
    request = ToolCall(id="", name="check_expiry", arguments=json.dumps({"badge": "010"}))
    for episode, procedure in zip(episodes, ("Look the badge up.", "Open the gate."), strict=True):
        assert procedure in episode.opening()[0].content
        answer = asyncio.run(episode.call_tool(request))
        assert (answer.message.content, answer.outcome.error) == ('"2031-07-07"', False)
        episode.close()
    assert environment.turn_limit == 6


def test_broken_domain_is_a_finding_beside_those_of_the_others(checkout: Path) -> None:
    environment = load_environment(f"sop:{checkout}")
    assert isinstance(environment, SopCheckout)
    found = {(finding.code, finding.where) for finding in environment.findings}
    assert ("format.unreadable", str(checkout / "src/bench/data/broken")) in found
    assert ("tool.unanswered", "gates: tool 'find_badge'") in found


@pytest.mark.slow
def test_audit_of_a_checkout_says_what_could_not_be_loaded(checkout: Path) -> None:
    report = asyncio.run(check(f"sop:{checkout}"))
    assert "format.unreadable" in {finding.code for finding in report.findings}


def test_folder_without_a_domain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLoadError, match=r"no SOP domain in .*metadata\.json and toolspecs\.json"):
        load_environment(f"sop:{tmp_path}")
    with pytest.raises(EnvironmentLoadError, match="there is no SOP folder"):
        load_environment(f"sop:{tmp_path / 'nowhere'}")
