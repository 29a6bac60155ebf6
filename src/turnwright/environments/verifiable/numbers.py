r"""NumberQuestions: the answer is a number in a box, \boxed{3/4}, and right when it equals the true one."""

from turnwright.core.episode import Episode
from turnwright.environments.answers import REASONING_END
from turnwright.environments.base import Environment
from turnwright.environments.tools import tool
from turnwright.environments.verifiable.expressions import equal, evaluate, written
from turnwright.environments.verifiable.expressions_answers import BOX, read_number
from turnwright.environments.verifiable.expressions_numbers import ExpressionError, Number


class Calculates:
    """A tool that evaluates expressions, exactly where that is possible."""

    @tool
    def calculate(self, expression: str) -> str:
        """Return the value of an arithmetic expression, such as 2/3 + sqrt(16) * 1.5^2.

        Args:
            expression: Numbers, + - * / // ^ ! %, brackets, pi, e, and functions such as sqrt, ln, sin, gcd, binomial.
        """
        return written(evaluate(expression))


class NumberQuestions(Environment):
    r"""Base of environments that ask for a number; write ``tasks``, whose data has "answer", for ``read_number``.

    Example::

        class Sums(Calculates, NumberQuestions):
            def tasks(self, split: Split) -> list[Task]:
                return [Task(id="1", prompt="What is a quarter of 3?", data={"answer": "3/4"}, split=split)]
    """

    instructions = "Solve the problem. State the result at the end, once, as \\boxed{number}."
    tolerance: float = 1e-9
    """Difference allowed, relative to the larger of the two numbers."""

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return 1 for the right number; whether there is a number at all is for metrics."""
        given = boxed_number(episode)
        right = given is not None and equal(given, read_number(episode.task.data["answer"]), self.tolerance)
        return {"total": float(right), "emitted": float(given is not None)}


def boxed_number(episode: Episode) -> Number | None:
    """Return the number in the one box of the last reply, outside its reasoning; None without exactly one."""
    if not episode.turns or episode.turns[-1].reply.tool_calls:
        return None
    visible = REASONING_END.split(episode.answer)[-1]
    try:
        return read_number(visible) if BOX in visible else None
    except ExpressionError:
        return None
