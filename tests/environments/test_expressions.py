"""Expressions: exact where arithmetic is, the mathematics of ``math`` elsewhere, and cheap whatever is asked."""

import math
import re
from fractions import Fraction
from math import comb, factorial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.errors import ToolError
from turnwright.environments.verifiable.expressions import equal, evaluate, written
from turnwright.environments.verifiable.expressions_answers import read_number
from turnwright.environments.verifiable.expressions_numbers import MAX_DIGITS, ExpressionError, Number

Pair = tuple[str, Fraction]
"""An expression and what it must be."""

NUMBERS = st.one_of(
    st.integers(0, 10**6).map(lambda value: (str(value), Fraction(value))),
    st.decimals(0, 10**4, places=3).map(lambda value: (str(value), Fraction(value))),
)


def joined(pairs: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def combine(left: Pair, sign: str, right: Pair) -> Pair:
        (one, a), (two, b) = left, right
        if sign == "/" and not b:
            sign = "-"
        value = {"+": a + b, "-": a - b, "*": a * b, "/": a / (b or 1)}[sign]
        return f"({one}) {sign} ({two})", value

    def raised(base: Pair, exponent: int) -> Pair:
        return f"({base[0]})^{exponent}", base[1] ** exponent

    return st.builds(combine, pairs, st.sampled_from("+-*/"), pairs) | st.builds(raised, pairs, st.integers(0, 4))


@given(st.recursive(NUMBERS, joined, max_leaves=8))
def test_arithmetic_is_exactly_that_of_fractions(pair: Pair):
    text, expected = pair
    try:
        value = evaluate(text)
    except ExpressionError:
        assert max(expected.numerator, expected.denominator) > 10**200
        return
    assert not isinstance(value, float)
    assert value == expected
    assert isinstance(value, int) == (expected.denominator == 1)
    if len(written(value)) < 900:
        assert evaluate(written(value)) == value


@given(st.lists(st.tuples(st.sampled_from("+-*/"), st.integers(1, 99)), min_size=1, max_size=12), st.integers(1, 99))
def test_signs_bind_as_in_python(rest: list[tuple[str, int]], first: int):
    text = f"{first}" + "".join(f"{sign}{number}" for sign, number in rest)
    python = f"Fraction({first})" + "".join(f"{sign}Fraction({number})" for sign, number in rest)
    assert evaluate(text) == eval(python, {"Fraction": Fraction})


@given(st.floats(-50, 50), st.sampled_from(["sin", "cos", "tan", "atan", "exp", "degrees", "radians"]))
def test_functions_are_those_of_math(value: float, name: str):
    expected = getattr(math, name)(value)
    assert evaluate(f"{name}({value!r})") == pytest.approx(expected, rel=1e-12, abs=1e-300)


@given(st.integers(0, 300), st.integers(0, 300))
def test_whole_number_functions(many: int, few: int):
    assert evaluate(f"binomial({many}, {few})") == comb(many, few)
    assert evaluate(f"{many}!") == factorial(many)
    assert evaluate(f"gcd({many}, {few})") == math.gcd(many, few)
    assert evaluate(f"lcm({many}, {few})") == math.lcm(many, few)


@given(st.fractions(min_value=-1000, max_value=1000, max_denominator=1000), st.integers(1, 7))
def test_roots_of_powers_are_exact(value: Fraction, degree: int):
    root = abs(value) if degree % 2 == 0 else value
    assert evaluate(f"root(({value})^{degree}, {degree})") == root


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-2^2", -4),
        ("2^3^2", 512),
        ("2**-3", Fraction(1, 8)),
        ("4^(1/2)", 2),
        ("(2/3)^3", Fraction(8, 27)),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("50% * 80", 40),
        ("2pi - pi - pi", 0.0),
        ("3(4 + 5)(1/9)", 3),
        ("7 // 2 + mod(-7, 3)", 5),
        ("log(1000, 10) + log(8, 2) + log2(4) + ln(e)", 9.0),
        ("root(-27/8, 3)", Fraction(-3, 2)),
        ("round(2.5) + round(-2.5) + round(1.255, 2)", Fraction(126, 100)),
        ("max(1, 5/2, 2.4) - min(3, 1/3) + abs(-1)", Fraction(19, 6)),
        ("asin(1) * 2 - acos(-1)", 0.0),
        ("5 \u00d7 4 \u00f7 2 \u2212 1", 9),
        ("\u221a(16) + \u03c0 * 0", 4.0),
        (" 1e3 + 2.5e-1\n", Fraction(4001, 4)),
        ("floor(-2.5) + ceil(2.1) + 5!", 120),
        ("-(2 * 3)", -6),
    ],
)
def test_worked_out_by_hand(text: str, expected: Number):
    assert equal(evaluate(text), expected)
    assert isinstance(evaluate(text), float) == isinstance(expected, float)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("9**9**9", f"at most {MAX_DIGITS} digits"),
        ("9^9^9^9^9", "too large"),
        ("0.5^10^9", "too large"),
        ("factorial(10**9)", "too large"),
        ("((9!)!)!", "too large"),
        ("binomial(10^300, 10^299)", "too large"),
        ("1e9999999999", "too large"),
        ("1e999 * 1e999", "too large"),
        ("exp(10^9)", "too large"),
        ("pi^100000", "too large"),
        ("10^400 * pi", "too large"),
        ("(" * 400 + "1" + ")" * 400, "nested too deeply"),
        ("-" * 900 + "1", "nested too deeply"),
        ("2^" * 400 + "1", "nested too deeply"),
        ("sqrt(" * 100, "nested too deeply"),
        ("1+" * 600 + "1", "too long: 1201 characters, at most 1000"),
        ("\u0663 + 1", "not part of an expression: '\u0663'"),
        ("\uff11 + 1", "not part of an expression"),
        ("(1).__class__", "not part of an expression: '.'"),
        ("().__class__.__bases__", "not part of an expression: '.'"),
        ("a := 1", "not part of an expression: ':'"),
        ("[x for x in 9]", "not part of an expression: '['"),
        ("lambda: 1", "not part of an expression: ':'"),
        ("__import__('os')", "not part of an expression: '_'"),
        ("open(1)", "unknown name 'open', there is: pi, e, sqrt"),
        ("'a' * 9", "not part of an expression"),
        ("1 if 1 else 2", "unknown name 'if'"),
        ("1 < 2", "not part of an expression: '<'"),
        ("10 % 3", "the remainder is mod"),
        ("5!!", "not expected here: '!'"),
        ("2 3", "not expected here: '3'"),
        ("1_000", "not part of an expression: '_'"),
        ("", "empty"),
        ("1 +", "found the end"),
        ("(1", "')' is expected, found the end"),
        ("sqrt", "sqrt is a function: write sqrt(...)"),
        ("sqrt(1, 2)", "sqrt takes 1 argument, got 2"),
        ("round(1, 2, 3)", "round takes 1 to 2 arguments, got 3"),
        ("gcd(1.5, 2)", "gcd takes whole numbers"),
        ("2.5!", "factorial takes whole numbers"),
        ("1/0", "division by zero"),
        ("mod(1, 0)", "division by zero"),
        ("1 // 0", "division by zero"),
        ("0^-1", "0 to a negative power"),
        ("sqrt(-1)", "even root of a negative"),
        ("(-8)^(1/3)", "no real value"),
        ("ln(0)", "no real value"),
        ("asin(2)", "no real value"),
        ("(-1)!", "no real value"),
        ("log(2, 1)", "base 1"),
        ("round(1, 10^9)", "too large"),
        ("root(2, 0)", "degree of a root"),
    ],
)
def test_what_has_no_value_or_costs_too_much_is_told(text: str, told: str):
    with pytest.raises(ExpressionError, match=re.escape(told)):
        evaluate(text)


@given(st.text(max_size=200) | st.text("0123456789+-*/^!%().,e piqrt", max_size=200))
def test_any_text_is_a_number_or_an_error_for_the_policy(text: str):
    for read in (evaluate, read_number):
        try:
            value = read(text)
        except ToolError:
            continue
        assert math.isfinite(value) if isinstance(value, float) else abs(value) < 10 ** (MAX_DIGITS + 1)


def test_equal_is_relative_and_exact_where_asked():
    assert equal(Fraction(1, 3), Fraction(1, 3), tolerance=0)
    assert not equal(Fraction(333, 1000), Fraction(1, 3))
    assert equal(Fraction(333, 1000), Fraction(1, 3), tolerance=0.01)
    assert equal(10**300 + 1, 10**300)
    assert not equal(10**300 + 1, 10**300, tolerance=0)
    assert equal(evaluate("sin(pi)"), 0)
    assert equal(evaluate("sqrt(2)^2"), 2, tolerance=0)
    assert not equal(Fraction(1, 10**20), Fraction(2, 10**20))
    assert not equal(10**999, 1.5)


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (Fraction(-1, 8), "-0.125"), (Fraction(1, 3), "1/3"), (Fraction(5, 2), "2.5"), (0.5, "0.5")],
)
def test_numbers_are_written_as_they_are_read(value: Number, text: str):
    assert written(value) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3/4", Fraction(3, 4)),
        ("-2 1/4", Fraction(-9, 4)),
        ("2\\frac{1}{4}", Fraction(9, 4)),
        ("-2\\tfrac{1}{4} + 1", Fraction(-5, 4)),
        ("\\frac12", Fraction(1, 2)),
        ("\\dfrac{1}{\\frac{2}{3}}", Fraction(3, 2)),
        ("\\frac{\\sqrt{16}}{2}", 2),
        ("\\sqrt[3]{27} \\cdot 2", 6),
        ("\\left(3 + 4\\right) \\times 10^{2}", 700),
        ("12.5%", Fraction(1, 8)),
        ("12.5\\%", Fraction(1, 8)),
        ("6.02e23", 602 * 10**21),
        ("6.02 \\times 10^{23}", 602 * 10**21),
        ("1,234,567.5", Fraction(2469135, 2)),
        ("-1,234", -1234),
        ("1{,}234", 1234),
        ("1 234 567", 1234567),
        ("12,345%", Fraction(12345, 100)),
        ("$1,250.00", 1250),
        ("\\$5", 5),
        ("EUR 5", 5),
        ("$x = 5$", 5),
        ("\\(42\\).", 42),
        ("$$\\frac{3}{6}$$", Fraction(1, 2)),
        ("Thus the answer is \\boxed{\\frac{3}{4}}, as was shown.", Fraction(3, 4)),
        ("2\\pi", 2 * math.pi),
        ("\\sin\\left(0\\right)", 0.0),
        ("3!", 6),
    ],
)
def test_answers_in_their_common_forms(text: str, expected: Number):
    assert equal(read_number(text), expected, tolerance=1e-15)


@pytest.mark.parametrize(
    "text",
    ["5 apples", "the answer is 5", "5 or 6", "12,34", "1,2345", "\\boxed{1} or \\boxed{2}", "\\boxed{1", "\\frac{1}{",
     "", "\\boxed{}", "NaN", "inf", "{" * 900, "\\frac{" * 150, "9" * 2000],
)  # fmt: skip
def test_what_states_no_number_is_refused(text: str):
    with pytest.raises(ExpressionError):
        read_number(text)
