"""The peak of a block is that of the block, not of what came before."""

from pathlib import Path

import pytest
import torch

from turnwright.models.memory import watch_peak_memory

CPU = torch.device("cpu")


def held(megabytes: int) -> float:
    with watch_peak_memory(CPU) as peak:
        torch.ones(megabytes * 2**18)
    return peak.megabytes


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system keeps no mark to set back")
def test_a_smaller_block_after_a_larger_one_has_a_smaller_peak() -> None:
    nothing, much, little = held(0), held(200), held(50)
    assert much - nothing == pytest.approx(200, abs=20)
    assert little - nothing == pytest.approx(50, abs=20)


def test_an_error_in_the_block_passes_and_the_peak_is_there() -> None:
    with pytest.raises(RuntimeError, match="inside"), watch_peak_memory(CPU) as peak:
        raise RuntimeError("inside")
    assert peak.megabytes > 0
