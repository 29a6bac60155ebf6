"""Readable names for runs that were given none."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

ADJECTIVES = (
    "amber", "bold", "brisk", "calm", "clear", "deft", "eager", "fair", "fleet", "gentle", "keen", "lucid",
    "mellow", "neat", "nimble", "plain", "quick", "quiet", "ready", "steady", "sunny", "swift", "tidy", "warm",
)  # fmt: skip
ANIMALS = (
    "badger", "crane", "curlew", "dunlin", "falcon", "finch", "hare", "heron", "ibis", "kestrel", "lark", "lynx",
    "magpie", "marten", "osprey", "otter", "petrel", "plover", "raven", "robin", "stoat", "swan", "tern", "wren",
)  # fmt: skip


def free_run_name(output_dir: Path) -> str:
    """Return a name that is not taken in ``output_dir``, such as "1121-0705-quiet-heron".

    Drawn from the system's randomness, never from the run's seed: two runs with one seed are two runs.
    """
    while True:
        moment = datetime.now(UTC).strftime("%m%d-%H%M")
        name = f"{moment}-{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}"
        if not (output_dir / name).exists():
            return name
