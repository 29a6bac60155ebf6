r"""Expressions: arithmetic as a policy writes it, evaluated by a parser of our own; nothing is ever executed.

    expression = term {("+" | "-") term}
    term       = factor {("*" | "/" | "//") factor | factor}        side by side is a product: 2pi, 3(4 + 5)
    factor     = ("+" | "-") factor | postfix [("^" | "**") factor]     so -2^2 = -4 and 2^3^2 = 2^9
    postfix    = atom ["!" | "%"]                                   factorial, per cent
    atom       = number | name | name "(" expression {"," expression} ")" | "(" expression ")"
    number     = digits ["." digits] [("e" | "E") ["+" | "-"] digits]   ASCII digits; .5 and 5. are numbers too

Whole numbers, fractions and decimals are exact (0.1 is 1/10), and so are roots of squares; what is not rational is a
float. Names are pi, e and those in ``FUNCTIONS``. Whatever an expression asks for, it costs little: its length, its
depth and the digits of every intermediate result are bounded, each by an error in words for the policy.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from turnwright.environments.verifiable.expressions_numbers import (
    CONSTANTS,
    FUNCTIONS,
    MAX_DIGITS,
    ExpressionError,
    Number,
    call_function,
    checked,
    power,
    product,
    too_large,
)

MAX_LENGTH = 1000
"""Characters of an expression."""
MAX_DEPTH = 50
"""Brackets, signs and powers within each other."""
ROUNDING = 1e-14
"""Difference from 0 that floats are allowed, so that sin(pi) equals 0."""

TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z][A-Za-z_0-9]*)|(?P<sign>\*\*|//|[-+*/^!%(),]))"
)
LOOK_ALIKES = str.maketrans(
    {"\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-", "\u221a": "sqrt", "\u03c0": "pi", "\u00a0": " "}
)
"""Signs of printed mathematics that mean an ASCII one."""


def evaluate(text: str) -> Number:
    """Return the value of an expression.

    >>> evaluate("1/3 + 0.5"), evaluate("sqrt(2)^2"), evaluate("binomial(5, 2)!")
    (Fraction(5, 6), 2.0000000000000004, 3628800)

    Raises ExpressionError.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression is too long: {len(text)} characters, at most {MAX_LENGTH}")
    return _Parser(text.translate(LOOK_ALIKES)).value()


def equal(given: Number, expected: Number, tolerance: float = 1e-9) -> bool:
    """Return whether two numbers differ by at most ``tolerance`` times the larger of them.

    Tolerance 0 asks exact numbers to be the same. A float may in any case be off by ``ROUNDING``.
    """
    if isinstance(given, float) or isinstance(expected, float):
        try:
            return math.isclose(given, expected, rel_tol=max(tolerance, ROUNDING), abs_tol=ROUNDING)
        except OverflowError:  # an exact number beyond all floats
            return False
    return abs(given - expected) <= Fraction(tolerance) * max(abs(given), abs(expected))


def written(number: Number) -> str:
    """Return a number as text that ``evaluate`` reads: digits, a decimal where it ends, else a fraction."""
    if isinstance(number, Fraction):
        rest = number.denominator
        for prime in (2, 5):
            while rest % prime == 0:
                rest //= prime
        places = len(str(number.denominator)) * 4
        if rest == 1 and places <= MAX_DIGITS:
            whole = str(abs(number.numerator) * 10**places // number.denominator).rjust(places + 1, "0")
            return ("-" if number < 0 else "") + f"{whole[:-places]}.{whole[-places:]}".rstrip("0")
    return str(number)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """number, name, sign or end."""
    text: str


class _Parser:
    """Reads and evaluates in one pass."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def value(self) -> Number:
        if self._next.kind == "end":
            raise ExpressionError("the expression is empty")
        value = self._expression()
        if self._next.kind != "end":
            hint = "; % is per cent, the remainder is mod(a, b)" if self._next.kind == "number" else ""
            raise ExpressionError(f"not expected here: {self._next.text!r}{hint}")
        return value

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *signs: str) -> str:
        """Return the next sign and go on if it is one of these; empty otherwise."""
        if self._next.kind == "sign" and self._next.text in signs:
            self._at += 1
            return self._tokens[self._at - 1].text
        return ""

    def _expression(self) -> Number:
        value = self._term()
        while sign := self._take("+", "-"):
            other = self._term()
            value = checked(lambda a=value, b=other, minus=sign == "-": a - b if minus else a + b)
        return value

    def _term(self) -> Number:
        value = self._factor()
        while True:
            sign = self._take("*", "/", "//")
            if not sign and self._next.kind != "name" and self._next.text != "(":
                return value
            value = product(sign, value, self._factor())

    def _factor(self) -> Number:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"the expression is nested too deeply: at most {MAX_DEPTH} levels")
        sign = self._take("+", "-")
        if sign:
            value = self._factor()
            value = -value if sign == "-" else value
        else:
            value = self._postfix()
            if self._take("^", "**"):
                value = power(value, self._factor())
        self._depth -= 1
        return value

    def _postfix(self) -> Number:
        value = self._atom()
        sign = self._take("!", "%")
        if not sign:
            return value
        return call_function("factorial", (value,)) if sign == "!" else product("/", value, 100)

    def _atom(self) -> Number:
        token = self._next
        if token.kind == "number":
            self._at += 1
            return _number(token.text)
        if token.kind == "name":
            self._at += 1
            return self._name(token.text)
        if self._take("("):
            value = self._expression()
            self._close()
            return value
        found = "the end" if token.kind == "end" else repr(token.text)
        raise ExpressionError(f"a number, a name or '(' is expected, found {found}")

    def _name(self, name: str) -> Number:
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name not in FUNCTIONS:
            raise ExpressionError(f"unknown name {name!r}, there is: {', '.join((*CONSTANTS, *FUNCTIONS))}")
        if not self._take("("):
            raise ExpressionError(f"{name} is a function: write {name}(...)")
        arguments = [self._expression()]
        while self._take(","):
            arguments.append(self._expression())
        self._close()
        return call_function(name, tuple(arguments))

    def _close(self) -> None:
        if not self._take(")"):
            found = "the end" if self._next.kind == "end" else repr(self._next.text)
            raise ExpressionError(f"')' is expected, found {found}")


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"not part of an expression: {text[at:].lstrip()[:1]!r}")
        tokens.append(_Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return [*tokens, _Token("end", "")]


def _number(text: str) -> Number:
    mantissa, _, exponent = text.lower().partition("e")
    if len(exponent) > len(str(MAX_DIGITS)) + 1 or abs(int(exponent or 0)) > MAX_DIGITS:
        raise too_large()
    return checked(lambda: Fraction(f"{mantissa}e{exponent or 0}"))
