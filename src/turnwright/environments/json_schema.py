"""JSON Schema of tool arguments, as servers write it: what does not fit, in words for the policy.

    {"order": {"type": "integer", "minimum": 1}}  <-- {"order": 0}:  Argument order must be integer of at least 1

Checked are type, enum, const, anyOf, oneOf, allOf, references within the schema, bounds of numbers, lengths and
patterns of texts, sizes and items of arrays, and the members of objects. No other keyword refuses anything, and oneOf
asks for one branch at least: whoever answers the call has the last word, and what the schema allows is never refused.
Types are told apart strictly: 3.0 is no integer, and true is no number.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

Schema = Mapping[str, Any]

PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
CHOICES = ("anyOf", "oneOf")
MAX_DEPTH = 40
"""References followed within one another; a schema that goes on refuses nothing further down."""


def object_problems(value: Mapping[str, Any], schema: Schema) -> list[str]:
    """Say what keeps an object from fitting its schema.

    Members that the schema does not name are refused, unless it says ``additionalProperties`` or
    ``patternProperties``: a policy that made a name up learns it here.
    """
    return list(_object_problems(value, schema, schema, at="", closed=True, depth=0))


def missing_problems(value: Mapping[str, Any], schema: Schema) -> list[str]:
    """Say which required members an object lacks."""
    return [f"Missing required argument: {name}" for name in schema.get("required", ()) if name not in value]


def fits(value: Any, schema: Any, root: Schema, depth: int = 0) -> bool:
    """Return whether a value fits a schema.

    Args:
        value: Parsed JSON.
        schema: The schema of the value.
        root: The schema that references start from.
        depth: How many schemas this one lies within.
    """
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return schema is not False
    rule = cast("Schema", schema)
    if "$ref" in rule and not fits(value, _referred(rule["$ref"], root), root, depth + 1):
        return False
    if not _has_type(value, _types(rule)):
        return False
    if "enum" in rule and not any(_equal(value, one) for one in rule["enum"]):
        return False
    if "const" in rule and not _equal(value, rule["const"]):
        return False
    if not all(fits(value, part, root, depth + 1) for part in rule.get("allOf", ())):
        return False
    if not all(any(fits(value, one, root, depth + 1) for one in rule[key]) for key in CHOICES if rule.get(key)):
        return False
    if isinstance(value, str):
        return _text_fits(value, rule)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_fits(value, rule)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return _size_fits(len(items), rule, "minItems", "maxItems") and (
            "prefixItems" in rule or all(fits(item, rule.get("items", True), root, depth + 1) for item in items)
        )
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return not any(_object_problems(members, rule, root, at="", closed=False, depth=depth + 1))
    return True


def _object_problems(
    value: Mapping[str, Any], schema: Schema, root: Schema, *, at: str, closed: bool, depth: int
) -> Iterator[str]:
    """Yield what is wrong with the members of an object; ``at`` is the path to it, with a dot behind."""
    properties: Mapping[str, Any] = schema.get("properties") or {}
    for name in schema.get("required", ()):
        if name not in value:
            yield f"Missing required argument: {at}{name}"
    others = schema.get("additionalProperties", "patternProperties" in schema or not closed)
    for name, member in value.items():
        if name in properties:
            yield from _member_problems(member, properties[name], root, at=f"{at}{name}", depth=depth + 1)
        elif others is False:
            if not _matches_any(name, schema.get("patternProperties", {})):
                yield f"Unknown argument: {at}{name}"
        else:
            yield from _member_problems(member, others, root, at=f"{at}{name}", depth=depth + 1)


def _member_problems(value: Any, schema: Any, root: Schema, *, at: str, depth: int) -> Iterator[str]:
    if fits(value, schema, root, depth):
        return
    inner = _followed(schema, root)
    if isinstance(value, Mapping) and _types(inner) in ((), ("object",)) and "properties" in inner:
        # The innermost member that is wrong says more than the object it is in.
        members = cast("Mapping[str, Any]", value)
        found = list(_object_problems(members, inner, root, at=f"{at}.", closed=False, depth=depth + 1))
        if found:
            yield from found
            return
    yield f"Argument {at} must be {in_words(schema, root)}"


def in_words(schema: Any, root: Schema, depth: int = 0) -> str:
    """Return what fits a schema, as one says it."""
    rule = _followed(schema, root)
    if depth > 3:
        return "a JSON value"
    choices = [one for key in CHOICES for one in rule.get(key, ())]
    if choices:
        return " or ".join(dict.fromkeys(in_words(one, root, depth + 1) for one in choices))
    if "const" in rule:
        return json.dumps(rule["const"], ensure_ascii=False)
    if "enum" in rule:
        return "one of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in rule["enum"])
    kinds = " or ".join(_types(rule)) or "a JSON value"
    if _types(rule) == ("array",) and "items" in rule:
        kinds = f"array of {in_words(rule['items'], root, depth + 1)}"
    bounds = [words.format(rule[key]) for key, words in BOUNDS.items() if _bounds(rule, key)]
    return f"{kinds} {' and '.join(bounds)}" if bounds else kinds


BOUNDS: Mapping[str, str] = {
    "minimum": "of at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "of at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "of at least {} characters",
    "maxLength": "of at most {} characters",
    "pattern": "that matches {}",
    "minItems": "of at least {} items",
    "maxItems": "of at most {} items",
}


def _bounds(rule: Schema, key: str) -> bool:
    """Tell whether a bound is one: before 2019 exclusiveMinimum was a boolean beside minimum."""
    return key in rule and not isinstance(rule[key], bool)


def _number_fits(value: float, rule: Schema) -> bool:
    return (
        (not _bounds(rule, "minimum") or value >= rule["minimum"])
        and (not _bounds(rule, "maximum") or value <= rule["maximum"])
        and (not _bounds(rule, "exclusiveMinimum") or value > rule["exclusiveMinimum"])
        and (not _bounds(rule, "exclusiveMaximum") or value < rule["exclusiveMaximum"])
    )


def _text_fits(value: str, rule: Schema) -> bool:
    return _size_fits(len(value), rule, "minLength", "maxLength") and (
        "pattern" not in rule or _matches(rule["pattern"], value)
    )


def _size_fits(size: int, rule: Schema, least: str, most: str) -> bool:
    return rule.get(least, 0) <= size <= rule.get(most, size)


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:  # written for another language's expressions
        return True


def _matches_any(name: str, patterns: Mapping[str, Any]) -> bool:
    return any(_matches(pattern, name) for pattern in patterns)


def _types(rule: Schema) -> tuple[str, ...]:
    named = rule.get("type", ())
    return (named,) if isinstance(named, str) else tuple(cast("Sequence[str]", named))


def _has_type(value: Any, kinds: tuple[str, ...]) -> bool:
    if not kinds or any(kind not in PYTHON_TYPES for kind in kinds):
        return True
    if isinstance(value, bool):  # an int to Python, never to JSON
        return "boolean" in kinds
    return any(isinstance(value, PYTHON_TYPES[kind]) for kind in kinds)


def _equal(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _followed(schema: Any, root: Schema) -> Schema:
    """Return the schema that one without keywords of its own refers to."""
    for _ in range(MAX_DEPTH):
        if not (isinstance(schema, Mapping) and "$ref" in schema):
            break
        schema = _referred(cast("Schema", schema)["$ref"], root)
    return cast("Schema", schema) if isinstance(schema, Mapping) else {}


def _referred(reference: str, root: Schema) -> Any:
    """Return what a reference such as ``#/$defs/Address`` names; one that leads nowhere allows anything."""
    if not reference.startswith("#"):
        return True
    found: Any = root
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdecimal() and int(key) < len(cast("list[Any]", found)):
            found = cast("list[Any]", found)[int(key)]
        elif isinstance(found, Mapping) and key in found:
            found = cast("Mapping[str, Any]", found)[key]
        else:
            return True
    return found
