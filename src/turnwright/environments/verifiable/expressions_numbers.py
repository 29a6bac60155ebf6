"""Numbers of expressions: what each sign and function does, exact where it can be and never large.

Every result passes ``checked``; what could not even be worked out in time is refused beforehand.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from turnwright.core.errors import ToolError

Number = int | Fraction | float
"""An exact number is an int, or a Fraction that is none; a float is finite."""

MAX_DIGITS = 1000
"""Decimal digits of numerator and denominator of any result."""
MAX_BITS = math.ceil(MAX_DIGITS * math.log2(10))
MAX_ARGUMENTS = 1000


class ExpressionError(ToolError):
    """An expression cannot be read, has no value, or would cost too much; a tool may let it go back to the policy."""


def product(sign: str, left: Number, right: Number) -> Number:
    """Return the product, or for "/" and "//" the quotient and its whole part; raises ExpressionError."""
    if sign not in ("/", "//"):
        return checked(lambda: left * right)
    if right == 0:
        raise ExpressionError("division by zero")
    if sign == "//":
        return checked(lambda: left // right)
    exact = not isinstance(left, float) and not isinstance(right, float)
    return checked(lambda: Fraction(left) / Fraction(right) if exact else left / right)


def power(base: Number, exponent: Number) -> Number:
    """Return a power, exact for a whole exponent and for roots of squares; raises ExpressionError."""
    if base == 0 and exponent < 0:
        raise ExpressionError("0 to a negative power has no value")
    if isinstance(exponent, int) and not isinstance(base, float):
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        # The result is no smaller than this, and is not worked out to find that it is too large.
        if bits > 1 and (bits - 1) * abs(exponent) > MAX_BITS:
            raise too_large()
        return checked(lambda: Fraction(base) ** exponent)
    if base < 0 and exponent != int(exponent):
        raise ExpressionError("a negative number to a power that is no whole number has no real value")
    if exponent == Fraction(1, 2):
        return checked(lambda: _root(base))
    return checked(lambda: float(base) ** float(exponent))


def checked(compute: Callable[[], Number]) -> Number:
    """Return a result in its simplest form; raises ExpressionError when it is not finite or too long."""
    try:
        value = compute()
    except OverflowError:
        raise too_large() from None
    if isinstance(value, float):
        if not math.isfinite(value):
            raise too_large()
        return value
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise too_large()
    return value.numerator if value.denominator == 1 else value


def too_large() -> ExpressionError:
    """Return the error about a number that has too many digits."""
    return ExpressionError(f"a number gets too large: at most {MAX_DIGITS} digits, also on the way")


def call_function(name: str, arguments: tuple[Number, ...]) -> Number:
    """Return the value of one of ``FUNCTIONS``, which ``name`` must be; raises ExpressionError."""
    function = FUNCTIONS[name]
    if not function.least <= len(arguments) <= function.most:
        wanted = str(function.least) if function.least == function.most else f"{function.least} to {function.most}"
        raise ExpressionError(f"{name} takes {wanted} argument{'s' * (wanted != '1')}, got {len(arguments)}")
    try:
        return checked(lambda: function.compute(*arguments))
    except ValueError:
        raise ExpressionError(f"{name} has no real value there") from None


def _root(value: Number, degree: Number = 2) -> Number:
    """Return the real root, exact where it is rational."""
    if not isinstance(degree, int) or not 1 <= degree <= MAX_BITS:
        raise ExpressionError("the degree of a root must be a whole number from 1")
    if value < 0:
        if degree % 2 == 0:
            raise ExpressionError("an even root of a negative number has no real value")
        return -_root(-value, degree)
    if not isinstance(value, float):
        numerator, denominator = (_whole_root(part, degree) for part in (value.numerator, value.denominator))
        if numerator is not None and denominator is not None:
            return Fraction(numerator, denominator)
    return math.sqrt(value) if degree == 2 else float(value) ** (1 / degree)


def _whole_root(value: int, degree: int) -> int | None:
    """Return the root of a whole number if it is whole."""
    if degree == 2:
        root = math.isqrt(value)
    else:
        low, root = 0, 1 << -(-value.bit_length() // degree)
        while low < root:  # the least whole number whose power is not smaller
            middle = (low + root) // 2
            low, root = (middle + 1, root) if middle**degree < value else (low, middle)
    return root if root**degree == value else None


def _logarithm(value: Number, base: Number | None = None) -> Number:
    if base is None:
        # A fraction of long numbers has a logarithm even where it is no float.
        return (
            math.log(value.numerator) - math.log(value.denominator) if isinstance(value, Fraction) else math.log(value)
        )
    if base == 1:
        raise ExpressionError("there is no logarithm to base 1")
    plain = {2: math.log2, 10: math.log10}.get(base) if isinstance(base, int) else None
    return plain(value) if plain else _logarithm(value) / _logarithm(base)


def _whole(name: str, *values: Number) -> tuple[int, ...]:
    if any(not isinstance(value, int) for value in values):
        raise ExpressionError(f"{name} takes whole numbers")
    return tuple(int(value) for value in values)


def _factorial(value: Number) -> Number:
    (number,) = _whole("factorial", value)
    if number > MAX_BITS or math.lgamma(max(number, 0) + 1) > MAX_BITS * math.log(2):
        raise too_large()
    return math.factorial(number)


def _binomial(total: Number, chosen: Number) -> Number:
    many, few = _whole("binomial", total, chosen)
    few = min(few, many - few) if 0 <= few <= many else few
    # At least (many / few) ** few.
    if few > 0 and many >= few and few * (math.log2(many) - math.log2(few)) > MAX_BITS:
        raise too_large()
    return math.comb(many, few)


def _modulo(value: Number, divisor: Number) -> Number:
    if divisor == 0:
        raise ExpressionError("division by zero")
    return value % divisor


def _common(name: str, compute: Callable[..., int]) -> Callable[..., Number]:
    return lambda *values: compute(*_whole(name, *values))


def _rounded(value: Number, places: Number = 0) -> Number:
    """Round half away from zero, as schools do."""
    (number,) = _whole("round", places)
    if abs(number) > MAX_DIGITS:
        raise too_large()
    scale = Fraction(10) ** number
    size = Fraction(math.floor(abs(Fraction(value)) * scale + Fraction(1, 2))) / scale
    return -size if value < 0 else size


@dataclass(frozen=True, slots=True)
class Function:
    """A function that expressions may call."""

    compute: Callable[..., Number]
    """May raise ValueError and OverflowError, as ``math`` does."""
    least: int = 1
    most: int = 1
    """Number of arguments."""


CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}

FUNCTIONS: Mapping[str, Function] = {
    "sqrt": Function(_root),
    "root": Function(_root, 2, 2),
    "abs": Function(lambda value: abs(value)),
    "floor": Function(math.floor),
    "ceil": Function(math.ceil),
    "round": Function(_rounded, 1, 2),
    "exp": Function(math.exp),
    "ln": Function(_logarithm),
    "log": Function(_logarithm, 1, 2),
    "log2": Function(lambda value: _logarithm(value, 2)),
    "log10": Function(lambda value: _logarithm(value, 10)),
    "sin": Function(math.sin),
    "cos": Function(math.cos),
    "tan": Function(math.tan),
    "asin": Function(math.asin),
    "acos": Function(math.acos),
    "atan": Function(math.atan),
    "degrees": Function(math.degrees),
    "radians": Function(math.radians),
    "factorial": Function(_factorial),
    "binomial": Function(_binomial, 2, 2),
    "gcd": Function(_common("gcd", math.gcd), 2, MAX_ARGUMENTS),
    "lcm": Function(_common("lcm", math.lcm), 2, MAX_ARGUMENTS),
    "mod": Function(_modulo, 2, 2),
    "min": Function(min, 2, MAX_ARGUMENTS),
    "max": Function(max, 2, MAX_ARGUMENTS),
}
"""``log`` is the natural logarithm unless a base follows: log(8, 2); angles are in radians."""
