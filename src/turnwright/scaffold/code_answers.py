"""The same questions where the answer is code: the outcome is a function that passes its hidden tests.

outcome   total(values)                         the function that is asked for, of one argument
tools     write_file, run_tests                 of those that the kit has
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from turnwright.core.errors import ConfigError
from turnwright.scaffold.answers import WORD, check_name, class_name_of, require_own_name

FUNCTION = re.compile(rf"({WORD})\s*\(\s*({WORD})\s*\)")
OFFERED_BY = {
    "read_file": "EditsFiles",
    "write_file": "EditsFiles",
    "replace_text": "EditsFiles",
    "list_files": "ListsFiles",
    "run_tests": "RunsTests",
    "run_python": "RunsPython",
}
"""Tools of the kit, and the class that brings each; a class brings all of its own."""
DATA = ("solution", "files", "visible", "module", "protected")
"""Columns of a task that the kit reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeAnswers:
    """The answers, checked."""

    name: str
    function: str
    argument: str
    classes: tuple[str, ...]
    """Those that bring the tools."""
    hidden: tuple[str, ...]
    turns: int

    @property
    def class_name(self) -> str:
        """The environment's class."""
        return class_name_of(self.name)

    @property
    def tools(self) -> tuple[str, ...]:
        """All tools that the classes bring."""
        return tuple(tool for tool, offered in OFFERED_BY.items() if offered in self.classes)


def read_code_answers(
    name: str, *, outcome: str, tools: Sequence[str], hidden: Sequence[str], turns: int
) -> CodeAnswers:
    """Check the answers as they were typed.

    Raises ConfigError that names the answer, what was expected and an example.
    """
    check_name(name)
    found = FUNCTION.fullmatch(outcome.strip())
    if found is None:
        raise ConfigError(f"outcome {outcome!r}: expected the function that is asked for, such as 'total(values)'")
    unknown = [tool for tool in tools if tool not in OFFERED_BY]
    if unknown:
        raise ConfigError(f"tool {unknown[0]!r}: the verifiable kit has {', '.join(OFFERED_BY)}")
    classes = tuple(dict.fromkeys(OFFERED_BY[tool] for tool in tools))
    if "EditsFiles" not in classes:
        raise ConfigError(f"tools {', '.join(tools)}: none writes a file; add write_file")
    if turns < 2:
        raise ConfigError(f"turns {turns}: expected at least 2, one to write the function and one to say so")
    for word in (found[1], found[2], *hidden):
        require_own_name(word, DATA)
    return CodeAnswers(
        name=name, function=found[1], argument=found[2], classes=classes, hidden=tuple(hidden), turns=turns
    )
