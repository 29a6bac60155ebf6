"""Parcel sorting: which chute a parcel goes down, by weight, size and destination zone."""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

CHUTES = ["A", "B", "C", "D"]
ZONES = ["inner", "outer", "island"]


def chute_for(parcel):
    if parcel["zone"] == "island":
        return "D"
    if parcel["grams"] > 5000 or parcel["longest_cm"] > 80:
        return "C"
    return "A" if parcel["zone"] == "inner" else "B"


class ParcelSorting(Environment):
    """Weigh a parcel, look its zone up, and name the chute."""

    instructions = (
        "You sort parcels. Use weigh for weight and length, and zone_of for the zone of the postcode on the label.\n"
        "Island parcels go down chute D. Of the others, those above 5000 g or longer than 80 cm go down C; of the "
        "rest, inner zone A, outer zone B.\nFinish with one line: CHUTE=<letter>"
    )
    typical_turns = 3

    def tasks(self, split):
        counts = {"train": 40, "validation": 10, "test": 10}
        rng = random.Random("parcels/" + split)
        for number in range(counts[split]):
            parcel = {
                "grams": rng.randrange(100, 9000),
                "longest_cm": rng.randrange(10, 110),
                "zone": rng.choices(ZONES, [5, 4, 3])[0],
                "postcode": f"{rng.randrange(10000, 99999)}",
            }
            chute = chute_for(parcel)
            label = f"{split[:2].upper()}{number:03d}"
            scan = f"7Q-{rng.randrange(1000, 9999)}-{chute}{number % 7}"
            text = f"Parcel {label}\npostcode {parcel['postcode']}\nscan {scan}"
            yield Task(id=label, prompt=text, data={"parcel": parcel, "gold": chute, "label": label}, split=split)

    @tool
    def weigh(self, label: str) -> dict[str, int]:
        """Return weight in grams and longest side in centimetres of a parcel.

        Args:
            label: What is printed on the parcel, such as TR001.
        """
        if label != self.task.data["label"]:
            raise ToolError(f"there is no parcel {label} on the belt")
        parcel = self.task.data["parcel"]
        return {"grams": parcel["grams"], "longest_cm": parcel["longest_cm"]}

    @tool
    def zone_of(self, postcode: str) -> str:
        """Return the delivery zone of a postcode.

        Args:
            postcode: Five digits.
        """
        if postcode != self.task.data["parcel"]["postcode"]:
            raise ToolError(f"postcode {postcode} is not in the table")
        return self.task.data["parcel"]["zone"]

    def reward(self, episode):
        return 1.0 if episode.answer.strip() == f"CHUTE={episode.task.data['gold']}" else 0.0

    def oracle(self, task):
        yield call("weigh", label=task.data["label"])
        yield call("zone_of", postcode=task.data["parcel"]["postcode"])
        yield say("CHUTE=" + chute_for(task.data["parcel"]))
