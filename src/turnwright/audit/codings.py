"""Codings: does a text give another away - as a copy, turned round, in base64, as a hash?"""

import base64
import codecs
import hashlib
from collections.abc import Callable, Mapping

SHORTEST_HASH = 6
"""Hexadecimal digits of a hash prefix that cannot be there by chance."""
HASHES = ("md5", "sha1", "sha256", "blake2b")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode().rstrip("=")


CODINGS: Mapping[str, Callable[[str], str]] = {
    "a copy": lambda text: text,
    "reversed": lambda text: text[::-1],
    "base64": _base64,
    "hexadecimal": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
}


def plain(value: object) -> str:
    """Return a value as graders commonly compare it: no case, no outer space, one separator."""
    return str(value).strip().casefold().replace("_", " ").replace("-", " ")


def coding_of(shown: object, hidden: object) -> str:
    """Return how ``shown`` gives ``hidden`` away: the name of a coding, or empty when it does not.

    Example: ``coding_of("ZGVuaWVk", "denied")`` is ``"base64"``.
    """
    text, secret = str(shown).strip(), str(hidden).strip()
    if not text or not secret:
        return ""
    if plain(text) == plain(secret):
        return "a copy"
    for spelling in dict.fromkeys((secret, secret.casefold(), secret.upper())):
        for name, encode in CODINGS.items():
            # Only base64 tells capitals from small letters.
            if text.rstrip("=") == encode(spelling) or (name != "base64" and plain(text) == plain(encode(spelling))):
                return name
        if _is_hash(text, spelling):
            return "a hash"
    return ""


def _is_hash(text: str, secret: str) -> bool:
    digits = text.casefold()
    if len(digits) < SHORTEST_HASH or not set(digits) <= set("0123456789abcdef"):
        return False
    return any(hashlib.new(name, secret.encode()).hexdigest().startswith(digits) for name in HASHES)
