"""What the source of an environment shows without running: clocks that are read while it is imported, or by default.

The watch sees calls while an episode runs; what an import did is past by then.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from turnwright.audit.frames import Use

READS_THE_CLOCK = frozenset(
    {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
)
MOST_ARGUMENTS = {"time.strftime": 1, "time.localtime": 0, "time.gmtime": 0, "time.ctime": 0, "time.asctime": 0}
"""Functions that read the clock when called with no more arguments than these."""


def clock_uses(files: Iterable[str]) -> tuple[Use, ...]:
    """Return the lines of source files that read a clock at import, or as the default of an argument."""
    found: list[Use] = []
    for file in sorted(files):
        try:
            tree = ast.parse(Path(file).read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        found += [Use("clock", f"{name}()", f"{file}:{line}") for name, line in _uses(tree, at_import=True)]
    return tuple(found)


def _uses(node: ast.AST, *, at_import: bool) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and child in _body(node)
        running = at_import and not inside
        if isinstance(child, ast.Call):
            name = ".".join(ast.unparse(child.func).split(".")[-2:])
            few = len(child.args) + len(child.keywords) <= MOST_ARGUMENTS.get(name, -1)
            if few or (running and name in READS_THE_CLOCK):
                yield name, child.lineno
        yield from _uses(child, at_import=running)


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.AST]:
    """Return what runs when the function is called; defaults and decorators run before."""
    return [node.body] if isinstance(node, ast.Lambda) else list(node.body)
