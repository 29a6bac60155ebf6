"""Demonstrations: episodes of a scripted expert, in tokens, for supervised learning."""

from collections.abc import Sequence

from turnwright.agents.builtin import LoopLimits
from turnwright.agents.context import ContextLimits, cut_result
from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.message import Message, ToolSpec
from turnwright.core.outcome import Failed
from turnwright.core.protocols import Reply
from turnwright.core.task import Task
from turnwright.core.trajectory import Demonstration
from turnwright.environments.base import Environment
from turnwright.environments.scripts import Script
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.runner import EpisodeLimits, run_episode


class ScriptedPolicy:
    """A ChatPolicy that follows a script and tells it what the tools answered."""

    def __init__(self, script: Script) -> None:
        """Follow ``script`` from its first message."""
        self._script = script
        self._seen = 0
        self._started = False

    async def chat(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Return the script's next message; a script that has ended says nothing, which ends the episode."""
        news = tuple(messages[self._seen :]) if self._started else ()
        try:
            message = self._script.send(news) if self._started else next(self._script)
        except StopIteration:
            message = Message(role="assistant")
        self._started = True
        self._seen = len(messages) + 1
        return Reply(
            message=message,
            finish_reason="stop",
            num_prompt_tokens=0,
            num_sampled_tokens=0,
            mean_logprob=0.0,
            policy_version=0,
        )


async def run_script(prototype: Environment, task: Task, demonstrator: str, *, seed: int, attempt: int = 0) -> Episode:
    """Play one task by a scripted policy of the environment ("oracle" or a demonstrator's name).

    The script belongs to the episode's own copy of the environment's class, but reads the world through tools alone.
    """
    script = prototype.scripted(demonstrator)(task, seed)
    limits = EpisodeLimits(loop=LoopLimits(max_turns=4 * prototype.turn_limit))
    key = EpisodeKey(task_id=task.id, attempt=attempt)
    return await run_episode(prototype, task, key, ScriptedPolicy(script), limits, seed=seed)


async def demonstrate(
    prototype: Environment,
    task: Task,
    demonstrator: str,
    renderer: Renderer,
    *,
    seed: int,
    answer_weight: float,
    context: ContextLimits | None = None,
) -> Demonstration:
    """Play one task by a scripted policy and render it.

    The script reads whole results; with ``context`` they are rendered as long as the policy will see them. Nothing is
    dropped and no notes are written: what stands far behind is learned from as it was.

    Raises EnvironmentLoadError when the script's episode fails: a demonstration must be a clean one.
    """
    episode = await run_script(prototype, task, demonstrator, seed=seed)
    if isinstance(episode.outcome, Failed):
        raise EnvironmentLoadError(
            f"demonstrator {demonstrator!r} failed on task {task.id!r}: {episode.outcome.cause}, "
            f"{episode.outcome.detail}; run 'turnwright check' on the environment"
        )
    return render_demonstration(episode, renderer, answer_weight=answer_weight, context=context)


def render_demonstration(
    episode: Episode, renderer: Renderer, *, answer_weight: float, context: ContextLimits | None = None
) -> Demonstration:
    """Render an episode as one row: replies are learned, everything else is context."""
    token_ids = list(renderer.prompt_ids(episode.opening, episode.tools))
    weights = [0.0] * len(token_ids)
    for number, turn in enumerate(episode.turns, start=1):
        reply = renderer.reply_ids(turn.reply)
        token_ids += reply
        weights += [answer_weight if number == len(episode.turns) else 1.0] * len(reply)
        if number < len(episode.turns):
            limits = context or ContextLimits()
            seen = [cut_result(message, limits, renderer.num_text_tokens) for message in turn.responses]
            more = renderer.continuation_ids(reply, seen, episode.tools)
            token_ids += more
            weights += [0.0] * len(more)
    return Demonstration(key=episode.key, token_ids=tuple(token_ids), weights=tuple(weights))
