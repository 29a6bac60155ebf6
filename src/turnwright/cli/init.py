"""``turnwright init``: a new environment's folder, from the answers to five questions."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from turnwright.scaffold.answers import VERIFIABLE, read_answers
from turnwright.scaffold.code_answers import OFFERED_BY, read_code_answers
from turnwright.scaffold.write import write_environment

KIT = "plain"
OUTCOME = "decision: pay, review, refuse"
TOOLS = ["get_claim(claim): policy, amount=low|high", "get_policy(policy): state=active|lapsed, limit=low|high"]

FUNCTION = "total(values)"
CODE_TOOLS = "write_file, run_tests"

KIT_QUESTION = (
    "Tools that only read (recorded), change something (stateful), run code (verifiable), or none of it (plain)?"
)
OUTCOME_QUESTION = "The one measurable outcome of a good episode: its field, and the values it can have"
TOOL_QUESTION = "A tool: its name, the id it is asked with, and what it tells (empty = no more)"
HIDDEN_QUESTION = "Columns of your data that nothing may show to the agent, besides the outcome"
FUNCTION_QUESTION = "The function that is asked for, of one argument"
CODE_TOOLS_QUESTION = f"Tools, of {', '.join(OFFERED_BY)}"
TURNS_QUESTION = "Turns that a skilled person needs"


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Folder to make, such as claims-desk.")],
    kit: Annotated[str | None, typer.Option(help="recorded, stateful, verifiable or plain.")] = None,
    outcome: Annotated[str | None, typer.Option(metavar="OUTCOME", help=OUTCOME_QUESTION + ".")] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOOL",
            help="A tool: 'get_claim(claim): policy, amount=low|high'; or one of the verifiable kit's by name.",
        ),
    ] = None,
    hidden: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help=HIDDEN_QUESTION + ".")] = None,
    turns: Annotated[int | None, typer.Option(min=1, help=TURNS_QUESTION + ".")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: what is not given is made up.")] = False,
) -> None:
    """Make a new environment: tools, tasks in locked splits, run.toml, tests and an audit in CI, all of which work."""
    asks = not yes and sys.stdin.isatty()
    chosen = kit or _ask(KIT_QUESTION, KIT, asks)
    code = chosen == VERIFIABLE
    what = outcome or _ask(*((FUNCTION_QUESTION, FUNCTION) if code else (OUTCOME_QUESTION, OUTCOME)), asks)
    tools = tool or _choose_tools(code, asks)
    kept = hidden if hidden is not None else _words(_ask(HIDDEN_QUESTION, "", asks))
    usual = 3 if code else len(tools) + 1
    needed: int = turns or (typer.prompt(TURNS_QUESTION, default=usual, type=int) if asks else usual)
    answers = (
        read_code_answers(name, outcome=what, tools=tools, hidden=kept, turns=needed)
        if code
        else read_answers(name, kit=chosen, outcome=what, tools=tools, hidden=kept, turns=needed)
    )
    written = write_environment(answers, Path.cwd())
    for path in written:
        print(path.relative_to(Path.cwd()))
    print("next:")
    print(f"  cd {name}")
    print(f"  turnwright check environment.py:{answers.class_name}")
    print("  turnwright train run.toml")


def _ask(question: str, default: str, asks: bool) -> str:
    return typer.prompt(question, default=default, show_default=bool(default)) if asks else default


def _choose_tools(code: bool, asks: bool) -> list[str]:
    if code:
        return _words(_ask(CODE_TOOLS_QUESTION, CODE_TOOLS, asks))
    return _ask_tools() if asks else TOOLS


def _ask_tools() -> list[str]:
    tools: list[str] = []
    while text := typer.prompt(TOOL_QUESTION, default=TOOLS[0] if not tools else "", show_default=not tools):
        tools.append(text)
    return tools


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
