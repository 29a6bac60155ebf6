"""Papers of a shipment: three fields, graded one by one."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool
from turnwright.environments.answers import final_answer
from turnwright.environments.rewards import field_accuracy, with_format

PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}
PORTS = ("Riga", "Porto", "Split", "Gdynia", "Malmo", "Cadiz")
CLASSES = ("general", "chilled", "hazardous", "fragile")


class ShipmentPapers(Environment):
    """Fill in port, class and pallets of a shipment."""

    instructions = (
        "Call get_booking for port and goods code, get_code for the class of the goods and kilograms per pallet, and "
        "divide the booking's weight by these, rounding up. Answer, for example: "
        '<final_output>{"port": "Riga", "class": "fragile", "pallets": 4}</final_output>'
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one booking per task."""
        return [self.booking(split, number) for number in range(*PARTS[split])]

    def booking(self, split, number):
        """Draw a booking."""
        chance = random.Random(f"shipment {number}")
        pallet, weight = chance.randrange(200, 900, 50), chance.randint(900, 9000)
        gold = {"port": chance.choice(PORTS), "class": chance.choice(CLASSES), "pallets": -(-weight // pallet)}
        data = {"number": chance.randrange(10**6, 10**7), "code": f"G{chance.randrange(100, 999)}", "gold": gold}
        data.update(weight=weight, pallet=pallet)
        return Task(id=f"b{number}", prompt=f"Booking {data['number']}", data=data, split=split)

    @tool
    def get_booking(self, booking: int) -> dict:
        """Return port, goods code and weight in kilograms of a booking.

        Args:
            booking: Its number.
        """
        data = self.task.data
        if booking != data["number"]:
            raise ToolError(f"no booking {booking}")
        return {"port": data["gold"]["port"], "code": data["code"], "weight": data["weight"]}

    @tool
    def get_code(self, code: str) -> dict:
        """Return class and kilograms per pallet of a goods code.

        Args:
            code: The goods code, such as G101.
        """
        data = self.task.data
        if code != data["code"]:
            raise ToolError(f"no code {code}")
        return {"class": data["gold"]["class"], "kg_per_pallet": data["pallet"]}

    def reward(self, episode):
        """Return the share of right fields, less a little without an answer."""
        answer = final_answer(episode)
        return with_format(field_accuracy(answer, episode.task.data["gold"]), emitted=answer is not None)

    def oracle(self, task):
        """Fill in the papers."""
        (booking,) = yield call("get_booking", booking=int(task.prompt.split()[1]))
        booking = json.loads(booking.content)
        (code,) = yield call("get_code", code=booking["code"])
        code = json.loads(code.content)
        pallets = -(-booking["weight"] // code["kg_per_pallet"])
        papers = {"port": booking["port"], "class": code["class"], "pallets": pallets}
        yield say(f"<final_output>{json.dumps(papers)}</final_output>")
