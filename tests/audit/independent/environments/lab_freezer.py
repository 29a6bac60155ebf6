"""Where is a sample? A laboratory's inventory, recorded."""

import json
import random

from turnwright import Task, ToolError, call, say
from turnwright.environments.recorded.environment import RecordedEnvironment

KINDS = ["serum", "plasma", "tissue"]
RULES = {"serum": -20, "plasma": -40, "tissue": -80}


def _stock():
    rng = random.Random("freezers")
    freezers = {f"F{n}": {"set_point": rng.choice([-20, -40, -80]), "alarm": rng.random() < 0.2} for n in range(1, 13)}
    samples = {
        f"LS-{rng.randrange(10**4, 10**5)}": {"kind": rng.choice(KINDS), "freezer": f"F{rng.randrange(1, 13)}"}
        for _ in range(70)
    }
    return freezers, samples


FREEZERS, SAMPLES = _stock()


async def locate_sample(sample: str) -> dict:
    """Return the kind of a sample and the freezer it lies in.

    Args:
        sample: LS and five digits.
    """
    if sample not in SAMPLES:
        raise ToolError(f"sample {sample} was never stored")
    return SAMPLES[sample]


async def read_freezer(freezer: str, history: bool = False) -> dict:
    """Return the set point of a freezer in degrees, and whether its alarm is on.

    Args:
        freezer: F and a number.
        history: Whether to list past alarms, which this freezer model does not keep.
    """
    if freezer not in FREEZERS:
        raise ToolError(f"no freezer {freezer}")
    return {**FREEZERS[freezer], **({"past_alarms": []} if history else {})}


LIVE = [locate_sample, read_freezer]
CALLS = [
    *(("locate_sample", {"sample": sample}) for sample in [*SAMPLES, "LS-00000"]),
    *(("read_freezer", {"freezer": f, "history": h}) for f in [*FREEZERS, "F99"] for h in (False, True)),
]


def verdict(kind, freezer):
    if freezer["alarm"]:
        return "quarantine"
    return "usable" if freezer["set_point"] <= RULES[kind] else "discard"


class LabFreezer(RecordedEnvironment):
    """Is a sample still usable?"""

    recordings = "recordings/lab_freezer.jsonl"
    instructions = (
        "A colleague asks for a sample. locate_sample tells its kind and freezer, read_freezer the freezer's set "
        "point and alarm. With the alarm on: quarantine. Serum must be stored at -20 or colder, plasma at -40, tissue "
        "at -80: if so usable, else discard.\nAnswer with <answer>WORD</answer>"
    )
    typical_turns = 3

    def tasks(self, split):
        samples = list(SAMPLES)
        for sample in {"train": samples[:46], "validation": samples[46:58], "test": samples[58:]}[split]:
            row = SAMPLES[sample]
            gold = verdict(row["kind"], FREEZERS[row["freezer"]])
            prompt = f"Can I use {sample} for my run?"
            yield Task(id=sample, prompt=prompt, data={"sample": sample, "gold": gold}, split=split)

    def reward(self, episode):
        return float(episode.answer.strip() == f"<answer>{episode.task.data['gold']}</answer>")

    def oracle(self, task):
        (found,) = yield call("locate_sample", sample=task.prompt.split()[3])
        place = json.loads(found.content)
        (read,) = yield call("read_freezer", freezer=place["freezer"])
        yield say(f"<answer>{verdict(place['kind'], json.loads(read.content))}</answer>")
