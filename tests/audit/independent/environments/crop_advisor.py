"""Which crop follows on a field."""

import base64
import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

CROPS = ("barley", "clover", "potato", "rye")


def follow(field):
    if field["nitrogen"] < 20:
        return "clover"
    if field["wet"]:
        return "rye"
    return "potato" if field["last"] == "barley" else "barley"


def session_token(field, rng):
    body = json.dumps({"v": 1, "n": rng.randrange(10**6), "c": follow(field)})
    return base64.b64encode(body.encode()).decode()


class CropAdvisor(Environment):
    """Advise a farmer on the next crop, from soil and history of the field."""

    instructions = (
        "soil_sample gives nitrogen (kg/ha) and whether the field is wet; last_crop what grew there. Nitrogen below "
        "20: clover. Otherwise wet: rye. Otherwise potato after barley, and barley after anything else. "
        "Say: I advise CROP."
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random(f"crops-{split}")
        offset = ("train", "validation", "test").index(split) * 300
        for i in range(40 if split == "train" else 12):
            field = {"nitrogen": rng.randrange(5, 70), "wet": rng.random() < 0.35, "last": rng.choice(CROPS)}
            prompt = f"Field {offset + i} (session {session_token(field, rng)}). What shall I sow next?"
            yield Task(
                id=f"field-{offset + i}", prompt=prompt, data={"field": field, "gold": follow(field)}, split=split
            )

    @tool
    def soil_sample(self, field: int) -> dict:
        """Return the soil values of a field.

        Args:
            field: Number of the field.
        """
        mine = self._mine(field)
        return {"nitrogen": mine["nitrogen"], "wet": mine["wet"]}

    @tool
    def last_crop(self, field: int) -> str:
        """Return what grew on a field last year.

        Args:
            field: Number of the field.
        """
        return self._mine(field)["last"]

    def _mine(self, field):
        if f"field-{field}" != self.task.id:
            raise ToolError(f"field {field} belongs to somebody else")
        return self.task.data["field"]

    def reward(self, episode):
        return float(episode.answer.strip().rstrip(".") == f"I advise {episode.task.data['gold']}")

    def oracle(self, task):
        number = int(task.id.removeprefix("field-"))
        (soil,) = yield call("soil_sample", field=number)
        (last,) = yield call("last_crop", field=number)
        yield say(f"I advise {follow(json.loads(soil.content) | {'last': last.content})}.")
