"""How long a tool takes: most calls are quick, and a few are very slow, as calls of real services are.

    seconds = median * exp(sigma * z),  z standard normal        (log-normal)

With a median of 0.2 s and a 99th percentile of 5 s, sigma = ln(5 / 0.2) / 2.326 = 1.384; the mean is 0.52 s, and one
call of 5,000 takes half a minute.
"""

import math
from statistics import NormalDist

from turnwright.core.seeding import generator

MEDIAN_SECONDS = 0.2
P99_SECONDS = 5.0
SIGMA = math.log(P99_SECONDS / MEDIAN_SECONDS) / NormalDist().inv_cdf(0.99)


def latency(*, seed: int, task: str, attempt: int, call: int, scale: float = 1.0) -> float:
    """Return the seconds of one tool call, the same for whoever asks about it.

    Args:
        seed: Of the episode's world.
        task: Id of the task.
        attempt: Number of the attempt at it, from 0.
        call: Number of the call within the attempt, from 0.
        scale: Factor on all latencies.
    """
    random = generator("slow_tools", seed, task, attempt, call)
    return scale * random.lognormvariate(math.log(MEDIAN_SECONDS), SIGMA)
