"""Counter-based randomness: a key for every stream, so that scheduling never changes what is drawn.

``derive_key`` names a stream (run seed, task, attempt, turn); position t of the stream is a pure function of
(key, t). The engine draws its uniforms the same way in bulk (``inference/sampling.py``).
"""

import random
from hashlib import blake2b

MASK_64 = (1 << 64) - 1


def derive_key(*parts: int | str) -> int:
    """Return the 64-bit key of the stream named by ``parts``.

    >>> derive_key(1, "task", 0) == derive_key(1, "task", 0) != derive_key(1, "task", 1)
    True
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(*parts: int | str) -> random.Random:
    """Return a standard-library generator for the stream named by ``parts``."""
    return random.Random(derive_key(*parts))
