r"""Numbers as answers state them: how policies and textbooks write, brought to the grammar of ``expressions``.

    form               example                                    is
    expression         3 * (4 + 5), 2pi, 5!                       see ``expressions``
    fraction           3/4, -3/4                                  3/4
    mixed number       2 1/4, 2\frac{1}{4}                        9/4
    per cent           12.5%, 12.5\%                              1/8
    scientific         6.02e23, 6.02 \times 10^{23}
    thousands          1,234,567.5   1 234 567   1{,}234          commas in threes, else no number
    currency in front  $5, EUR 5                                  5
    named              x = 5                                      5
    LaTeX              \frac{a}{b}, \frac12, \sqrt{a}, \sqrt[n]{a}, \cdot, \times, \div, \pi, ^{n}, \left( \right),
                       \sin and its kin, spaces such as \, and dollar signs, \( \) or \[ \] around it
    boxed              any text with exactly one \boxed{...}      what is in the box

Anything else, such as a unit, a sentence or two answers, is no number: an ``ExpressionError`` says so.
"""

import re

from turnwright.environments.verifiable.expressions import MAX_LENGTH, evaluate
from turnwright.environments.verifiable.expressions_numbers import ExpressionError, Number

BOX = "\\boxed{"
AROUND = re.compile(r"\A(?:\$\$(.*)\$\$|\$(.*)\$|\\\((.*)\\\)|\\\[(.*)\\\])\Z", re.DOTALL)
IN_FRONT = re.compile(r"\A(?:[A-Za-z]\s*=\s*)?([+-]?)\s*(?:(?:\\?\$|EUR\b|USD\b)\s*)?")
THOUSANDS = re.compile(r"\A[0-9]{1,3}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+)(?:\.[0-9]+)?%?\Z")
MIXED = re.compile(r"\A([0-9]+)\s+([0-9]+)\s*/\s*([0-9]+)\Z")
WORDS = re.compile(r"\\(sin|cos|tan|ln|log|exp|pi|min|max|gcd)(?![A-Za-z])")
SIGNS = {
    "\\left": "",
    "\\right": "",
    "\\displaystyle": "",
    "\\cdot": "*",
    "\\times": "*",
    "\\div": "/",
    "\\%": "%",
    "\\,": " ",
    "\\;": " ",
    "\\!": "",
    "{,}": ",",
    "\\ ": " ",
    "\u2009": " ",
    "\u202f": " ",
    "\u00a0": " ",
    "\u2212": "-",
}
BRACED = (
    (re.compile(r"([0-9]+)\s*\\[dt]?frac\s*\{\s*([0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}"), r"(\1+\2/\3)"),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"((\1)/(\2))"),
    (re.compile(r"\\[dt]?frac\s*([0-9])\s*([0-9])"), r"(\1/\2)"),
    (re.compile(r"\\sqrt\s*\[([^][{}]*)\]\s*\{([^{}]*)\}"), r" root(\2,\1)"),
    (re.compile(r"\\sqrt\s*\{([^{}]*)\}"), r" sqrt(\1)"),
    (re.compile(r"\\sqrt\s*([0-9])"), r" sqrt(\1)"),
    (re.compile(r"\^\s*\{([^{}]*)\}"), r"^(\1)"),
)
"""Innermost first: what replaces a command has no braces, so the next one out is found after it."""


def read_number(text: str) -> Number:
    r"""Return the number that an answer states.

    >>> read_number("so \\boxed{2\\frac{1}{4}}"), read_number("1,250"), read_number("12.5%")
    (Fraction(9, 4), 1250, Fraction(1, 8))

    Raises ExpressionError when it states none, more than one, or one that costs too much.
    """
    text = _unboxed(text).strip().removesuffix(".")
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the answer is too long: {len(text)} characters, at most {MAX_LENGTH}")
    around = AROUND.match(text)
    if around is not None:
        text = next(part for part in around.groups() if part is not None)
    for sign, plain in SIGNS.items():
        text = text.replace(sign, plain)
    text = text.strip().removesuffix(".")
    front = IN_FRONT.match(text)
    sign, body = (front[1], text[front.end() :]) if front else ("", text)
    if THOUSANDS.match(body):
        body = body.replace(",", "").replace(" ", "")
    body = MIXED.sub(r"(\1+\2/\3)", body)
    return evaluate(sign + _without_latex(body))


def _unboxed(text: str) -> str:
    """Return what is in the one box, or the text where there is none."""
    if BOX not in text:
        return text
    if text.count(BOX) > 1:
        raise ExpressionError("the answer has more than one \\boxed{...}: state one")
    boxed = text.split(BOX)[1]
    depth = 1
    for at, character in enumerate(boxed):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return boxed[:at]
    raise ExpressionError("\\boxed{ is not closed")


def _without_latex(text: str) -> str:
    text = WORDS.sub(r" \1", text)
    while True:
        for pattern, plain in BRACED:
            text, found = pattern.subn(plain, text, count=1)
            if found:
                break
        else:
            return text.replace("{", "(").replace("}", ")")
