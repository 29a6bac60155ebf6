"""A few findings one by one, the rest as a number: an environment wrong in one place is often wrong in all."""

from collections.abc import Sequence
from dataclasses import replace

from turnwright.core.finding import Finding

LISTED = 5


def shorten_list(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the first findings of one kind; the last of them says how many more there are."""
    if len(findings) <= LISTED:
        return tuple(findings)
    last = findings[LISTED - 1]
    rest = len(findings) - LISTED
    return (*findings[: LISTED - 1], replace(last, evidence=f"{last.evidence} (and {rest} more like it)"))
