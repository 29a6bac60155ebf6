"""Survey of an excavation: find the layer in which a kind of find is most frequent."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

LAYERS = ["I", "II", "III", "IV"]
FINDS = ["pottery", "bone", "flint", "charcoal"]


class ExcavationSurvey(Environment):
    """Count finds layer by layer and name the richest layer."""

    instructions = (
        "count_finds(layer) lists how often each kind of find occurs in layer I, II, III or IV. Name the layer in "
        "which the kind of the task is most frequent: 'Layer III'."
    )
    typical_turns = 5

    def tasks(self, split):
        rng = random.Random("dig-" + split)
        for n in range({"train": 36, "validation": 12, "test": 12}[split]):
            counts = {kind: rng.sample(range(1, 60), 4) for kind in FINDS}
            kind = rng.choice(FINDS)
            gold = LAYERS[counts[kind].index(max(counts[kind]))]
            prompt = f"Trench {split[:2].upper()}{n}: which layer is richest in {kind}?"
            yield Task(
                id=f"{split}-{n}", prompt=prompt, data={"counts": counts, "kind": kind, "gold": gold}, split=split
            )

    @tool
    def count_finds(self, layer: str) -> dict[str, int]:
        """Return how often each kind of find occurs in a layer.

        Args:
            layer: I, II, III or IV.
        """
        if layer not in LAYERS:
            raise ToolError(f"no layer {layer}")
        return {kind: counts[LAYERS.index(layer)] for kind, counts in self.task.data["counts"].items()}

    def reward(self, episode):
        right = episode.answer.strip() == f"Layer {episode.task.data['gold']}"
        calls = sum(len(turn.reply.tool_calls) for turn in episode.turns)
        return {"right": 0.5 * right, "thorough": 0.5 * min(calls, 4) / 4}

    def oracle(self, task):
        amounts = []
        for layer in LAYERS:
            (found,) = yield call("count_finds", layer=layer)
            amounts.append(json.loads(found.content)[task.data["kind"]])
        yield say(f"Layer {LAYERS[amounts.index(max(amounts))]}")
