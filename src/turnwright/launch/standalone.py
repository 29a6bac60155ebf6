"""A rollout gateway alone: for agents that are tried by hand or by a test, with a model or with scripted replies.

run.toml | replies.jsonl --> engine --> gateway with its control calls, until it is told to stop

Its run directory keeps every record; a later start in the same folder shows what was recorded before.
"""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from turnwright.config import ResolvedConfig, RunConfig
from turnwright.inference.base import Engine
from turnwright.inference.replies import load_replies, reply_script
from turnwright.inference.scripted import ScriptedEngine
from turnwright.launch.gateway import OpenGateway, open_gateway
from turnwright.models.paths import resolve_tokenizer_path
from turnwright.rendering.renderer import Renderer
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.manifest import collect_manifest
from turnwright.rundir.naming import free_run_name
from turnwright.rundir.record_log import recover
from turnwright.rundir.writer import RunWriter

SCRIPTED_SEQUENCE_LENGTH = 32768
"""Room of a scripted policy where the configuration names none: agents are tried with their own long prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A gateway that stands alone, as whoever started it needs to know it."""

    url: str
    control_token: str
    """Opens trajectories and reads what was recorded."""
    run: Path
    aws_environment: dict[str, str]
    """Variables that let unmodified AWS clients in."""


def stand_alone(
    resolved: ResolvedConfig,
    *,
    replies: Path | None = None,
    config_text: str = "",
    on_open: Callable[[Standing], None] = lambda standing: None,
) -> Path:
    """Serve a gateway until SIGINT or SIGTERM and return its run directory.

    Args:
        resolved: Its [gateway], [sampling], [run], [model] and, without ``replies``, [inference] sections count.
        replies: Scripted replies (see ``inference/replies.py``); None = the policy of ``model.path``.
        config_text: The run.toml as given, kept beside the records.
        on_open: Called when calls are answered.
    """
    config = resolved.config
    output = Path(config.run.output_dir)
    root = output / (config.run.name or free_run_name(output))
    with _writer(root, resolved, config_text) as writer:
        asyncio.run(_stand(config, replies, writer, on_open))
    return root


def _writer(root: Path, resolved: ResolvedConfig, config_text: str) -> RunWriter:
    """Return the writer of a new run directory, or of one that an earlier gateway left."""
    if RunLayout(root).records.is_dir():
        return RunWriter.resume(root, step=0)
    manifest = collect_manifest(name=root.name, seed=resolved.config.run.seed, parent=resolved.config.model.path)
    return RunWriter.create(root, config=resolved, manifest=manifest, config_text=config_text)


async def _stand(
    config: RunConfig, replies: Path | None, writer: RunWriter, on_open: Callable[[Standing], None]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    root = writer.layout.root
    renderer = Renderer.load(resolve_tokenizer_path(config.model.path))
    async with (
        _engine(config, replies, renderer) as engine,
        open_gateway(
            config,
            name=root.name,
            renderer=renderer,
            engine=engine,
            max_turns=config.sampling.max_turns,
            records=writer.layout.records,
            recovered=recover(writer.layout.records),
        ) as opened,
    ):
        writer.status("rollout", 0)
        on_open(_standing(opened, root))
        await stop.wait()
        writer.status("stopped", 0)


@asynccontextmanager
async def _engine(config: RunConfig, replies: Path | None, renderer: Renderer) -> AsyncGenerator[Engine]:
    if replies is not None:
        script = reply_script(
            load_replies(replies), lambda message: renderer.decode(renderer.reply_ids(message)[:-1]), renderer.decode
        )
        limit = config.sampling.max_sequence_length or SCRIPTED_SEQUENCE_LENGTH
        yield ScriptedEngine(renderer.tokenizer, script, max_sequence_length=limit)
        return
    # Imported here: it loads torch, which a scripted policy does without.
    from turnwright.launch.player import build_engine

    engine = build_engine(config)
    try:
        yield engine
    finally:
        await engine.close()


def _standing(opened: OpenGateway, root: Path) -> Standing:
    return Standing(
        url=opened.url,
        control_token=opened.credentials.mint(None, ("control",)),
        run=root,
        aws_environment=opened.credentials.aws_environment(opened.url),
    )
