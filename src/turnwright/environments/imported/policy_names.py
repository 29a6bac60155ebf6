"""Names of tools that come from elsewhere: what the policy calls them, and what their server does.

"desk/orders.get" --mapped--> "desk_orders_get" --called by the policy--> "desk/orders.get"
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from turnwright.core.errors import EnvironmentLoadError

MAX_LENGTH = 64
"""What OpenAI's and Anthropic's dialects carry, of these letters: a-z, A-Z, 0-9, underscore and hyphen."""


def policy_names(names: Iterable[str], rename: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the server's name of each tool by the name the policy uses.

    Args:
        names: The server's names.
        rename: The policy's name for some of them, by the server's.
        where: Names the server in errors.

    Raises:
        EnvironmentLoadError: two tools would have one name, or a new name cannot be carried.
    """
    found: dict[str, str] = {}
    for name in names:
        told = rename.get(name, _carried(name))
        if told != _carried(told):
            raise EnvironmentLoadError(
                f"{where}: tool {name!r} cannot be renamed to {told!r}: expected 1 to {MAX_LENGTH} letters, digits, "
                "underscores and hyphens"
            )
        if told in found:
            raise EnvironmentLoadError(
                f"{where}: the tools {found[told]!r} and {name!r} would both be {told!r}; rename or leave out one"
            )
        found[told] = name
    return found


def chosen(
    names: Iterable[str], *, allow: Iterable[str] = (), deny: Iterable[str] = (), rename: Iterable[str] = (), where: str
) -> tuple[str, ...]:
    """Return the names to offer: those of ``allow`` in its order, or all, without those of ``deny``.

    Raises EnvironmentLoadError for a name that the server does not have.
    """
    there = tuple(names)
    for name in (*allow, *deny, *rename):
        if name not in there:
            raise EnvironmentLoadError(f"{where} has no tool {name!r}; it has: {', '.join(there) or 'none'}")
    refused = set(deny)
    return tuple(name for name in (tuple(allow) or there) if name not in refused)


def _carried(name: str) -> str:
    """Return a name as a dialect carries it; a long one keeps its beginning and gets a digest of the whole."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name) or "_"
    if len(plain) <= MAX_LENGTH:
        return plain
    digest = blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{plain[: MAX_LENGTH - len(digest) - 1]}_{digest}"
