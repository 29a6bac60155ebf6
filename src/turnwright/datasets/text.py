"""What two prompts are compared by: their words, without case, spacing and punctuation."""

import re
import unicodedata
from hashlib import blake2b

# A sign next to a digit is no punctuation: "5 - 3" and "5 + 3" are different questions.
_WORDS = re.compile(r"[^\W_]+|(?<=\d)\s*[-+*/%<>=^]\s*(?=\w)|(?<=\w)\s*[-+*/%<>=^]\s*(?=\d)")


def words(prompt: str) -> tuple[str, ...]:
    """Return the words of a prompt in lower case.

    >>> words("  Refund order O3, please!"), words("5-3")
    (('refund', 'order', 'o3', 'please'), ('5', '-', '3'))
    """
    text = unicodedata.normalize("NFKC", prompt).casefold()
    return tuple(found.strip() for found in _WORDS.findall(text))


def normalise(prompt: str) -> str:
    """Return a prompt without case, spacing and punctuation; one that has nothing else stays as it is.

    >>> normalise("Refund  order O3!") == normalise("refund order o3")
    True
    """
    return " ".join(words(prompt)) or prompt


def hash_prompt(prompt: str) -> str:
    """Return the hash that a lock file knows a row by: of the normalised prompt, 32 hexadecimal digits."""
    return blake2b(normalise(prompt).encode(), digest_size=16).hexdigest()
