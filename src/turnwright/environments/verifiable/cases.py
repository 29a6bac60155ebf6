"""Cases: what code should give for an expression, judged here and not where the code runs.

    Case("add(1, 2)", "3") --expression alone--> sandbox: driver --value--> compared on the host with 3

The expected value never enters the sandbox, so there is nothing to patch, end or forge that would pass a case; code
passes by giving the right value, whatever else it does.
"""

import ast
import inspect
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from turnwright.environments.verifiable import driver
from turnwright.environments.verifiable.driver import encoded
from turnwright.sandbox.base import SandboxError, Workspace

DRIVER = inspect.getsource(driver)
COMMAND = ("python3", "-P", "-s", "-S", "-B", "-c", DRIVER)
"""No folder of the workspace is searched before a case's own process, and no sitecustomize at all."""
PACKAGES = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
"""Where the interpreter's packages are; the module that usually finds them takes a fifth of the start."""
ENVIRONMENT = {"PYTHONHASHSEED": "0"}
"""The order of a set is part of what an episode replays."""
RELATIVE_TOLERANCE = 1e-9
"""Of floats."""
MAX_SHOWN = 200

Ending = Literal["passed", "wrong", "raised", "timeout", "ended"]
"""ended: no answer, because the code ended its process, or the program that asks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question to a module, and what is right.

    Example: ``Case(expression="total([1, 2])", expected="3")``; of an error, ``Case(expression="total(None)",
    raises="TypeError")``.
    """

    expression: str
    """Python, evaluated among the module's names."""
    expected: str = "None"
    """The value as a Python literal."""
    raises: str = ""
    """Name of the exception that is expected instead of a value; as easily guessed as True, so ask for values too."""

    def __post_init__(self) -> None:
        """Refuse, by ValueError, what is no expression and no literal, and what compares within the sandbox.

        There, an object that equals everything passes ``f(1) == 2``; ask for ``f(1)``, and let the host compare.
        """
        try:
            asked = ast.parse(self.expression, mode="eval").body
            ast.literal_eval(self.expected)
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"case {self.expression!r}, expected {self.expected!r}: {error}") from error
        if isinstance(asked, ast.Compare | ast.BoolOp) or (
            isinstance(asked, ast.UnaryOp) and isinstance(asked.op, ast.Not)
        ):
            raise ValueError(
                f"case {self.expression!r} compares in the sandbox, where code decides what equals what: ask for the "
                "value, and put what it should be under expected"
            )

    @classmethod
    def read(cls, data: Mapping[str, str]) -> "Case":
        """Return the case that an entry of ``Task.data`` states; its keys are the fields."""
        return cls(**data)

    @property
    def wanted(self) -> str:
        """Return in words what is right."""
        return f"raises {self.raises}" if self.raises else self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What became of one case."""

    case: Case
    ending: Ending
    given: str = ""
    """What came instead, for people and policies."""

    @property
    def passed(self) -> bool:
        """Return whether it gave what is right."""
        return self.ending == "passed"

    def __str__(self) -> str:
        """Return one line that tells it."""
        if self.passed:
            return f"ok: {self.case.expression} is {self.case.wanted}"
        return f"FAILED: {self.case.expression}: expected {self.case.wanted}, {self.given}"


def run_cases(workspace: Workspace, module: str, cases: Sequence[Case], *, seconds: float = 1.0) -> list[CaseResult]:
    """Ask a module of a workspace all cases, in one program.

    Args:
        workspace: Where the module is; what its code leaves there stays.
        module: Its name.
        cases: What is asked, each in a process of its own.
        seconds: Processor time of one case.

    Raises:
        SandboxError: the sandbox broke, or the program that asks could not begin.
    """
    expressions = [case.expression for case in cases]
    order = {"module": module, "cases": expressions, "seconds": seconds, "packages": PACKAGES}
    result = workspace.run(COMMAND, stdin=json.dumps(order).encode() + b"\n", environment=ENVIRONMENT)
    ready, *lines = result.stdout.split("\n")
    if ready != '{"ready": true}':
        raise SandboxError(
            f"the program that runs cases did not begin: it {result.ending} with exit code {result.exit_code}, "
            f"{result.stderr[-300:]!r}"
        )
    answers = _answers(lines)
    return [_judged(case, answers[at] if at < len(answers) else ["ended", None]) for at, case in enumerate(cases)]


def _answers(lines: Sequence[str]) -> list[list[Any]]:
    """Return the answers up to the first line that is not the next case's: from there on somebody else wrote."""
    answers: list[list[Any]] = []
    for line in lines:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(told, dict) or told.get("case") != len(answers) or not isinstance(told.get("answer"), list):
            break
        answers.append(cast("dict[str, list[Any]]", told)["answer"])
    return answers


def _judged(case: Case, answer: list[Any]) -> CaseResult:
    match answer:
        case ["value", value]:
            try:
                right = not case.raises and _same(value, encoded(ast.literal_eval(case.expected)))
                given = "" if right else f"got {shown(value)}"
            except RecursionError:  # deeper than anything that is expected
                right, given = False, "got a value that is nested too deeply"
            return CaseResult(case=case, ending="passed" if right else "wrong", given=given)
        case ["raised", str(name), str(text)]:
            if name == case.raises:
                return CaseResult(case=case, ending="passed")
            return CaseResult(
                case=case, ending="raised", given=f"got {_plain(name)}: {_plain(text)}".removesuffix(": ")
            )
        case ["timeout"]:
            return CaseResult(case=case, ending="timeout", given="it took too long")
        case _:
            return CaseResult(case=case, ending="ended", given="its process ended without an answer")


def _plain(text: str) -> str:
    """Return the beginning of a text, one that can be encoded."""
    return text[:MAX_SHOWN].encode(errors="backslashreplace").decode()


def shown(value: Any) -> str:
    """Return an encoded value as Python writes it, cut to ``MAX_SHOWN`` characters."""
    text = _written(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _written(value: Any) -> str:
    match value:
        case {"float": number}:
            return str(number)
        case {"tuple": [one]}:
            return f"({_written(one)},)"
        case {"tuple": list(parts)}:
            return f"({', '.join(map(_written, parts))})"
        case {"set": []}:
            return "set()"
        case {"set": list(parts)}:
            return f"{{{', '.join(map(_written, parts))}}}"
        case {"dict": list(pairs)}:
            return f"{{{', '.join(': '.join(map(_written, pair)) for pair in pairs)}}}"
        case {"other": text}:
            return str(text)
        case list(parts):
            return f"[{', '.join(map(_written, parts))}]"
        case _:
            return repr(value)


def _same(given: Any, expected: Any) -> bool:
    """Compare encoded values as Python compares values, but with a tolerance for floats and true apart from 1."""
    one, two = _number(given), _number(expected)
    if one is not None and two is not None:
        if isinstance(one, int) and isinstance(two, int):
            return one == two
        both_nan = math.isnan(one) and math.isnan(two)
        return both_nan or math.isclose(one, two, rel_tol=RELATIVE_TOLERANCE)
    if type(given) is not type(expected):
        return False
    if isinstance(expected, dict):
        return given.keys() == expected.keys() and all(_same(given[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(given) == len(expected) and all(map(_same, given, expected))
    return given == expected


def _number(value: Any) -> int | float | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, dict) and list(value) == ["float"]:
        try:
            return float(value["float"])
        except (TypeError, ValueError):
            return None
    return None
