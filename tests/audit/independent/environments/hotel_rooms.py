"""A hotel's front desk: assign a room to a guest, then confirm it."""

import random
from typing import ClassVar

from turnwright import Environment, Task, ToolError, call, say, tool

FLOORS = {"quiet": 4, "view": 5, "near lift": 1}


class HotelRooms(Environment):
    """Give each guest the lowest free room on the floor their wish asks for."""

    instructions = (
        "Guests have a wish: quiet rooms are on floor 4, rooms with a view on floor 5, rooms near the lift on floor 1. "
        "free_rooms lists what is free on a floor; book the lowest number with book and answer 'Room NNN'."
    )
    typical_turns = 3
    booked: ClassVar[dict[int, str]] = {}

    def tasks(self, split):
        rng = random.Random("desk-" + split)
        for guest in range({"train": 30, "validation": 15, "test": 15}[split]):
            wish = rng.choice(list(FLOORS))
            taken = {floor: sorted(rng.sample(range(1, 9), 4)) for floor in FLOORS.values()}
            floor = FLOORS[wish]
            room = floor * 100 + min(n for n in range(1, 10) if n not in taken[floor])
            name = f"{rng.choice(['Mr', 'Ms', 'Dr'])} {rng.choice('ABCDEFGH')}{guest}-{split}"
            data = {"taken": taken, "wish": wish, "guest": name, "gold": room}
            yield Task(id=name.replace(" ", "-"), prompt=f"{name} would like a room: {wish}.", data=data, split=split)

    @tool
    def free_rooms(self, floor: int) -> list[int]:
        """List the free rooms of a floor.

        Args:
            floor: 1, 4 or 5.
        """
        taken = self.task.data["taken"].get(floor)
        if taken is None:
            raise ToolError(f"no guest rooms on floor {floor}")
        rooms = [floor * 100 + n for n in range(1, 10) if n not in taken]
        return [room for room in rooms if room not in self.booked]

    @tool
    def book(self, room: int) -> str:
        """Book a room for the guest at the desk.

        Args:
            room: Number of the room.
        """
        if room in self.booked:
            raise ToolError(f"room {room} is taken")
        self.booked[room] = self.task.data["guest"]
        return "booked"

    def close(self):
        for room in [room for room, guest in self.booked.items() if guest == self.task.data["guest"]]:
            del self.booked[room]

    def reward(self, episode):
        return float(episode.answer.strip() == f"Room {episode.task.data['gold']}")

    def oracle(self, task):
        (free,) = yield call("free_rooms", floor=FLOORS[task.data["wish"]])
        room = int(free.content.strip("[]").split(",")[0])
        yield call("book", room=room)
        yield say(f"Room {room}")
