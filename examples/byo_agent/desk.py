"""The parcel desk: the agent's world, as it was before any training. It knows nothing of Turnwright.

A parcel gets a label: its class is the parcel's size, its queue the owner's tier. Parcels and owners are records that
two tools look up; now and then a tool is busy and has to be called again.
"""

import json
from random import Random
from typing import Any

INSTRUCTIONS = """\
You work at a parcel desk. You are given one parcel. Look up the facts, then decide.

Steps:
1. Call get_parcel with the parcel. It gives the owner and the size.
2. Call get_owner with that owner. It gives the tier.
If a tool is busy, call it again.

Class: same as the size.

Queue: same as the tier.

Write no answer before all facts are known. Then write exactly one line of this form:
<final_output>{"class": "...", "queue": "..."}</final_output>"""

SIZES = ("small", "large", "bulky")
TIERS = ("gold", "silver", "basic")
BUSY_TOOLS = ("", "", "", "get_parcel", "get_owner")
"""Which tool's first call finds it busy, in the proportion it occurs."""
TOOL_ARGUMENTS = {"get_parcel": "parcel", "get_owner": "owner"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Look up one {argument}.",
            "parameters": {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]},
        },
    }
    for name, argument in TOOL_ARGUMENTS.items()
]


class Desk:
    """The desk's records on one day: two parcels, the asked one and another, each with its owner."""

    def __init__(self, day: int) -> None:
        random = Random(day)
        parcels, owners = ([f"{letter}{digit}" for digit in random.sample(range(10), 2)] for letter in "PO")
        self._parcels = {
            parcel: {"owner": owner, "size": random.choice(SIZES)}
            for parcel, owner in zip(parcels, owners, strict=True)
        }
        self._owners = {owner: {"tier": random.choice(TIERS)} for owner in owners}
        self._busy = random.choice(BUSY_TOOLS)
        self.asked = parcels[0]

    def answer(self, tool: str, arguments: str) -> str:
        """Carry out a tool call and return its result as JSON; what the caller did wrong is an error to read."""
        if tool not in TOOL_ARGUMENTS:
            return json.dumps({"error": f"unknown tool {tool}, there is: {', '.join(TOOL_ARGUMENTS)}"})
        if tool == self._busy:
            self._busy = ""
            return json.dumps({"error": "busy, try again"})
        given = _read_object(arguments).get(TOOL_ARGUMENTS[tool])
        records = self._parcels if tool == "get_parcel" else self._owners
        found = records.get(given) if isinstance(given, str) else None
        return json.dumps(found or {"error": f"no {TOOL_ARGUMENTS[tool]} {given}"})

    def label(self) -> dict[str, str]:
        """Return the right label of the asked parcel."""
        parcel = self._parcels[self.asked]
        return {"class": parcel["size"], "queue": self._owners[parcel["owner"]]["tier"]}

    def grade(self, text: str) -> dict[str, float]:
        """Return 1 for each field of the label that ``text`` has right, 0 for each other."""
        given = _read_object(text.partition("<final_output>")[2].partition("</final_output>")[0])
        return {field: float(given.get(field) == value) for field, value in self.label().items()}


def _read_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a text, empty when it holds none."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
