"""An engine in a real process of its own: the same bits, and an end with whichever side ends first."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inference.playing import mixed_plans
from inference.test_local import play_opened_first
from inference.test_local_lifetime import change_weights
from models.adapted import RANK_4, adapted_policy, save_base
from models.tiny import SHAPE
from turnwright.config import RunConfig
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ConfigError, EngineStoppedError
from turnwright.inference.base import Generation, GenerationRequest
from turnwright.inference.local import LocalEngine
from turnwright.inference.remote import ProcessEngine
from turnwright.launch.player import build_engine
from turnwright.models.load import load_policy

pytestmark = pytest.mark.slow

KEY = EpisodeKey(task_id="t", attempt=0)
SECONDS = 60
"""Of patience with a busy machine; nothing here takes that long."""


def config_for(folder: Path, **sections: dict[str, object]) -> RunConfig:
    given: dict[str, dict[str, object]] = {
        "model": {"path": str(folder)},
        "environment": {"name": "returns_desk"},
        "inference": {"placement": "process", "kv_memory_mb": 16},
    }
    for name, values in sections.items():
        given[name] = {**given.get(name, {}), **values}
    return RunConfig.model_validate(given)


def ask(max_tokens: int = 30) -> GenerationRequest:
    return GenerationRequest(
        key=KEY, turn=0, prompt_token_ids=tuple(range(8, 40)), max_tokens=max_tokens, sampling_key=5
    )


def built(config: RunConfig, **arguments: object) -> ProcessEngine:
    engine = build_engine(config, **arguments)  # pyright: ignore[reportArgumentType]
    assert isinstance(engine, ProcessEngine)
    return engine


def pid_of(engine: ProcessEngine) -> int:
    return engine._worker.pid  # pyright: ignore[reportAttributeAccessIssue]


def folder_of(engine: ProcessEngine) -> Path:
    return engine._publisher._folder


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + SECONDS
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.05)


def run(coroutine) -> object:
    return asyncio.run(asyncio.wait_for(coroutine, SECONDS))


@contextmanager
def as_deterministic() -> Iterator[None]:
    """Let this process compute as one with run.deterministic does."""
    import torch

    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_deterministic_engine_gives_the_same_bits_in_its_own_process(tmp_path: Path):
    save_base(tmp_path)
    config = config_for(tmp_path, run={"deterministic": True})
    policy, plans = load_policy(str(tmp_path), device="cpu"), mixed_plans(8)
    with as_deterministic():
        engine = built(config, policy=policy)
        pid, folder = pid_of(engine), folder_of(engine)
        assert (engine.num_slots, engine.max_sequence_length) == (96, SHAPE["max_position_embeddings"])
        assert play_opened_first(engine, plans, 1) == play_opened_first(
            LocalEngine(policy, deterministic=True), plans, 2
        )
    wait_until_gone(pid)
    assert not folder.exists()


def test_what_is_published_is_sampled_from_and_a_second_version_is_a_few_changes(tmp_path: Path):
    save_base(tmp_path)
    policy = load_policy(str(tmp_path), device="cpu")

    async def scenario() -> tuple[Generation, Generation]:
        engine = built(config_for(tmp_path), policy=policy)
        engine.open_episode(KEY)
        change_weights(policy)
        await engine.publish(1)
        first = await engine.generate(ask())
        whole = engine.published
        next(policy.model.parameters()).data[9, 0] += 2.0
        await engine.publish(2)
        second = await engine.generate(ask())
        assert whole is not None
        assert engine.published is not None
        assert (engine.published.num_changed, engine.published.base) == (1, 1)
        assert engine.published.num_bytes < whole.num_bytes / 100
        assert list(folder_of(engine).iterdir()) == []
        await engine.close()
        return first, second

    async def here() -> Generation:
        engine = LocalEngine(policy)
        engine.open_episode(KEY)
        reply = await engine.generate(ask())
        await engine.close()
        return reply

    first, second = run(scenario())
    assert (set(first.policy_versions), set(second.policy_versions)) == ({1}, {2})
    expected = run(here())
    assert second.token_ids == expected.token_ids
    assert second.logprobs == pytest.approx(expected.logprobs, abs=1e-5)
    assert second.logprobs != first.logprobs


def test_new_adapters_are_the_same_in_both_processes(tmp_path: Path):
    save_base(tmp_path)
    lora = {"lora_rank": RANK_4.rank, "lora_alpha": RANK_4.alpha}
    config = config_for(tmp_path, model=lora)
    from turnwright.launch.player import _adapter_settings

    policy = load_policy(str(tmp_path), device="cpu", adapters=_adapter_settings(config))

    async def scenario() -> None:
        engine = built(config, policy=policy)
        await engine.publish(1)
        assert engine.published is not None
        trained = sum(p.numel() for p in policy.model.parameters() if p.requires_grad)
        assert engine.published.num_trained == trained
        await engine.close()

    run(scenario())


def test_weights_that_are_not_those_on_disk_are_refused_at_once(tmp_path: Path):
    policy = adapted_policy(tmp_path)
    config = config_for(tmp_path, model={"lora_rank": RANK_4.rank, "lora_alpha": RANK_4.alpha})
    with pytest.raises(ConfigError, match=r"loaded other weights from .* tensors differ, first '.*lora_A"):
        build_engine(config, policy)


def test_what_the_worker_finds_wrong_is_raised_here(tmp_path: Path):
    save_base(tmp_path)
    policy = load_policy(str(tmp_path), device="cpu")
    (tmp_path / "config.json").rename(tmp_path / "was_config.json")
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        build_engine(config_for(tmp_path), policy)


def test_a_killed_worker_ends_every_call_with_its_exit_code(tmp_path: Path):
    save_base(tmp_path)

    async def scenario() -> None:
        engine = built(config_for(tmp_path))
        engine.open_episode(KEY)
        begun = asyncio.Event()
        asking = [asyncio.create_task(engine.generate(ask(200), lambda _: begun.set())) for _ in range(2)]
        await begun.wait()
        os.kill(pid_of(engine), signal.SIGKILL)
        expected = rf"process {pid_of(engine)} ended with exit code -9 \(SIGKILL\)"
        for result in await asyncio.gather(*asking, return_exceptions=True):
            assert isinstance(result, EngineStoppedError)
            assert "ended with exit code -9 (SIGKILL)" in str(result)
        for late in (engine.generate(ask()), engine.publish(1)):
            with pytest.raises(EngineStoppedError, match=expected):
                await late
        async with engine.paused():
            pass
        assert not folder_of(engine).exists()
        await engine.close()

    run(scenario())


PARENT = """
import asyncio, sys
from pathlib import Path
from inference.test_remote_process import ask, built, config_for, folder_of, pid_of, KEY

async def main():
    engine = built(config_for(Path(sys.argv[1])))
    engine.open_episode(KEY)
    begun = asyncio.Event()
    task = asyncio.create_task(engine.generate(ask(200), lambda _: begun.set()))
    await begun.wait()
    print(pid_of(engine), folder_of(engine), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_a_worker_ends_with_the_process_it_works_for_and_leaves_nothing(
    tmp_path: Path, child_environment: dict[str, str]
):
    save_base(tmp_path)
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, env=child_environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        assert is_alive(int(pid))
        assert Path(folder).is_dir()
        parent.kill()
    wait_until_gone(int(pid))
    assert not Path(folder).exists()


def test_an_engine_that_is_left_behind_unused_ends(tmp_path: Path):
    save_base(tmp_path)
    engine = built(config_for(tmp_path))
    pid, folder = pid_of(engine), folder_of(engine)
    del engine
    wait_until_gone(pid)
    assert not folder.exists()
