"""How many tasks each split of a generated environment has."""

from collections.abc import Mapping

from turnwright.core.errors import ConfigError
from turnwright.core.task import Split


def split_sizes(environment: str, *, train: int, validation: int, test: int) -> Mapping[Split, int]:
    """Return the sizes by split.

    Args:
        environment: Name in errors.
        train: Tasks of the split; 0 = no such split.
        validation: The same.
        test: The same.

    Raises:
        ConfigError: a size is negative.
    """
    sizes: Mapping[Split, int] = {"train": train, "validation": validation, "test": test}
    for split, size in sizes.items():
        if size < 0:
            raise ConfigError(f"{environment}: {split}_tasks = {size}: expected 0 or more; 0 = no such split")
    return sizes
