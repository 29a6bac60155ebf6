"""An episode turn by turn, for a terminal or a notebook."""

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from turnwright.core.episode import Episode, Turn
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Truncated

FOLDED_LINES = 4
"""Lines of a long opening message that are shown."""
INDENT = 2


def print_episode(episode: Episode, *, console: Console | None = None, full: bool = False) -> None:
    """Print what was said, called and answered, then reward and score.

    Args:
        episode: What to print.
        console: Where; None = standard output.
        full: Show the opening messages whole; otherwise long ones are folded.
    """
    console = console or Console(highlight=False)
    console.print(f"[bold]task {escape(episode.task.id)}[/]  attempt {episode.key.attempt}  {episode.task.split}")
    for message in episode.opening:
        console.print(f"[dim]{message.role}[/]")
        _print_text(console, message.content if full else fold(message.content))
    for number, turn in enumerate(episode.turns, start=1):
        _print_turn(console, number, turn)
    console.print(_verdict(episode), soft_wrap=True)


def fold(text: str) -> str:
    """Return the text, its end left out where it is long."""
    lines = text.splitlines()
    if len(lines) <= FOLDED_LINES + 1:
        return text
    return "\n".join([*lines[:FOLDED_LINES], f"[{len(lines) - FOLDED_LINES} more lines]"])


def _print_turn(console: Console, number: int, turn: Turn) -> None:
    tokens = f"  {turn.num_sampled_tokens} tokens" if turn.num_sampled_tokens else ""
    cut = "  cut at a limit" if turn.finish_reason == "length" else ""
    console.print(f"[bold cyan]turn {number}[/][dim]{tokens}{cut}[/]")
    if turn.reply.reasoning:
        _print_text(console, turn.reply.reasoning, style="dim italic")
    if turn.reply.content:
        _print_text(console, turn.reply.content)
    for call in turn.reply.tool_calls:
        _print_text(console, f"-> {call.name} {call.arguments}", style="yellow")
    failed = {index for index, tool in enumerate(turn.tools) if tool.error}
    for index, message in enumerate(turn.responses):
        _print_response(console, message, failed=index in failed)
    if turn.context is not None and str(turn.context):
        _print_text(console, f"context: {turn.context}", style="magenta")
        if turn.context.notes is not None:
            _print_text(console, turn.context.notes.content, style="dim italic")


def _print_response(console: Console, message: Message, *, failed: bool) -> None:
    source = message.name or message.role
    _print_text(console, f"<- {source}: {message.content}", style="red" if failed else "green")


def _print_text(console: Console, text: str, style: str = "") -> None:
    for line in text.splitlines():
        console.print(Text(" " * INDENT + line, style=style), soft_wrap=True)


def _verdict(episode: Episode) -> str:
    outcome = episode.outcome
    if isinstance(outcome, Failed):
        return f"[bold red]failed[/]: {escape(outcome.cause)} {escape(outcome.detail)}"
    parts = [f"[bold]reward {outcome.value:g}[/]"]
    parts += [f"{escape(name)} {value:g}" for name, value in outcome.components.items()]
    if isinstance(outcome, Truncated):
        parts.append(f"cut by {outcome.cause}")
    score = episode.score
    if score is None:
        parts.append("not scored")
    else:
        parts.append("[bold green]solved[/]" if score.success else "[bold red]not solved[/]")
        parts += [f"{escape(name)} {'right' if right else 'wrong'}" for name, right in score.fields.items()]
    return "  ".join(parts)
