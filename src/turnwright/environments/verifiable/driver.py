"""The program that runs a policy's code case by case inside the sandbox; it knows the questions and never the answers.

    stdin   {"module": ..., "cases": [expression, ...], "seconds": ..., "packages": [folder, ...]}     one line
    stdout  {"ready": true}, then one line per case, in order:
            {"case": 0, "answer": ["value", ...] | ["raised", type, text] | ["timeout"] | ["ended", status]}

Every case has a process of its own, which alone imports the policy's module: what a case breaks, ends or patches is
gone with it. Nothing here can be trusted all the same, as all of it runs as the same user as the policy's code. Whoever
forges a line must know a value that is only on the host, and whoever ends this program ends the cases that are left.

Imports nothing of Turnwright and is not read from a file of the workspace: its text is an argument of the interpreter.
"""

import contextlib
import importlib
import json
import math
import os
import resource
import select
import signal
import sys
import time

MAX_ANSWER = 20_000
"""Bytes of one answer."""
WALL_PER_CPU = 3
"""Wall time of a case, as a multiple of its processor time: the machine may be busy."""
MAX_TIMEOUTS = 2
"""Once so many cases have run out of time, the others are not tried: they would only take as long."""


def encoded(value: object) -> object:
    """Return a value as JSON that differs where types do; sets and dicts in one order.

    >>> encoded({"a": (1, 2.0)})
    {'dict': [['a', {'tuple': [1, {'float': '2.0'}]}]]}
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return {"float": "nan" if math.isnan(value) else repr(float(value))}
    if isinstance(value, list):
        return [encoded(one) for one in value]
    if isinstance(value, tuple):
        return {"tuple": [encoded(one) for one in value]}
    if isinstance(value, set | frozenset):
        return {"set": sorted((encoded(one) for one in value), key=json.dumps)}
    if isinstance(value, dict):
        return {"dict": sorted(([encoded(key), encoded(one)] for key, one in value.items()), key=json.dumps)}
    return {"other": f"{type(value).__name__}: {value!r}"[:200]}


def main() -> None:
    """Answer what standard input asks."""
    order = json.loads(sys.stdin.readline())
    say({"ready": True})
    sys.path.extend(order["packages"])
    timeouts = 0
    for number, expression in enumerate(order["cases"]):
        answer = ["timeout"]
        if timeouts < MAX_TIMEOUTS:
            answer = asked(order["module"], expression, order["seconds"])
            timeouts += answer == ["timeout"]
        say({"case": number, "answer": answer})


def say(line: object) -> None:
    """Write one line to standard output."""
    rest = json.dumps(line).encode() + b"\n"
    while rest:
        rest = rest[os.write(1, rest) :]


def asked(module: str, expression: str, seconds: float) -> object:
    """Evaluate one expression in a process of its own and return what it answered."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        evaluate(writing, module, expression, seconds)
    os.close(writing)
    text, status = collect(child, reading, time.monotonic() + WALL_PER_CPU * seconds)
    os.close(reading)
    if status is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM)):
        return ["timeout"]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return ["ended", os.waitstatus_to_exitcode(status)]


def collect(child: int, reading: int, deadline: float) -> "tuple[bytes, int | None]":
    """Return what a process wrote, and its wait status; None when it was still there at the deadline."""
    text, status, is_open = b"", None, True
    while time.monotonic() < deadline and status is None:
        # Its own children may hold the pipe open, so that its end alone does not tell.
        if is_open and select.select([reading], [], [], 0.005)[0]:
            piece = os.read(reading, MAX_ANSWER)
            text, is_open = text + piece, bool(piece) and len(text) < MAX_ANSWER
        elif not is_open:
            time.sleep(0.0005)
        ended, code = os.waitpid(child, os.WNOHANG)
        status = code if ended else None
    if status is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    elif is_open and select.select([reading], [], [], 0)[0]:
        text += os.read(reading, MAX_ANSWER)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    return text, status


def evaluate(writing: int, module: str, expression: str, seconds: float) -> None:
    """Import, evaluate, answer and end, in the process of one case."""
    answer: list[object] = ["raised", "Exception", "the exception cannot be shown"]
    try:
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        processor = max(1, math.ceil(seconds))
        resource.setrlimit(resource.RLIMIT_CPU, (processor, processor + 1))
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - it starts sooner without pathlib
        answer = ["value", encoded(eval(expression, vars(importlib.import_module(module))))]
    except BaseException as error:  # whatever the policy's code raises, the end of the interpreter included
        with contextlib.suppress(BaseException):
            answer = ["raised", type(error).__name__, str(error)[:300]]
    try:
        text = json.dumps(answer).encode()
        os.write(writing, text if len(text) <= MAX_ANSWER else b'["raised", "ValueError", "the value is too long"]')
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
