"""Memory limit: how many tokens a pass may hold, halved whenever the device had too little memory for them.

A lower limit stays for the rest of the run: what did not fit once would not fit again, and each attempt costs the
passes before it. The limit never falls below the longest row of the passes that failed, because a row is not cut.
"""

import gc
import logging

import torch

from turnwright.core.errors import TrainingError

log = logging.getLogger(__name__)

CLUES = ("DefaultCPUAllocator: can't allocate memory", "not enough memory", "out of memory")
"""What torch says where it has no exception of its own for it: on the CPU and on Apple's GPUs."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that a device, or the process, has too little memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(clue in str(error) for clue in CLUES)


def free_unused(device: torch.device) -> None:
    """Give back what a pass that failed has left behind."""
    # Its graph can be part of a cycle through the error's frames.
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


class MemoryLimit:
    """Most tokens that a pass holds.

    Example: a limit of 8192 at which a pass over 6000 tokens failed, the longest row 700, becomes 3000.
    """

    def __init__(self, tokens: int) -> None:
        """Begin with ``learner.tokens_per_microbatch``."""
        self.tokens = tokens
        self.num_splits = 0
        """How often it was lowered."""

    def can_lower(self, *, held: int, longest: int) -> bool:
        """Tell whether rows whose pass failed can be cut into smaller ones; see ``lower``."""
        return min(held, self.tokens) > longest

    def lower(self, *, held: int, longest: int, device: torch.device) -> None:
        """Halve what the next passes hold.

        Args:
            held: Distinct tokens of the rows whose pass failed.
            longest: Tokens of the longest of these rows.
            device: Where it failed.

        Raises:
            TrainingError: It held one row already.
        """
        if not self.can_lower(held=held, longest=longest):
            raise TrainingError(
                f"a pass over one row of {longest} tokens needs more memory than {device} has, and a row cannot be "
                "split: lower learner.logits_memory_mb, train adapters alone (model.lora_rank), take model.dtype = "
                "'bfloat16', or lower sampling.max_sequence_length; then continue with --resume"
            )
        before, self.tokens = self.tokens, max(longest, min(held, self.tokens) // 2)
        self.num_splits += 1
        log.warning(
            "out of memory on %s in a pass over %d tokens: the update begins again, and passes hold at most %d tokens "
            "instead of %d for the rest of the run (set learner.tokens_per_microbatch = %d to begin with that)",
            device,
            min(held, before),
            self.tokens,
            before,
            self.tokens,
        )
