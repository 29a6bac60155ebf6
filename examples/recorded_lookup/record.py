"""Asks the live service everything a policy can sensibly ask, and writes recordings.jsonl and tasks.jsonl."""

import asyncio
import json
from pathlib import Path
from typing import Any

from service import CITIES, DAYS, STATIONS, find_station, read_station

from turnwright.environments.recorded.capture import Recorder
from turnwright.environments.recorded.sources import Functions

FOLDER = Path(__file__).parent
UNKNOWN_CITY, UNKNOWN_STATION = "Atlantis", 1
CALLS: list[tuple[str, dict[str, Any]]] = [
    *(("find_station", {"city": city}) for city in (*CITIES, UNKNOWN_CITY)),
    *(("read_station", {"station": number, "day": day}) for number in STATIONS.values() for day in DAYS),
    ("read_station", {"station": UNKNOWN_STATION, "day": "mon"}),
]


async def record(path: Path) -> None:
    """Record every call; a second time adds nothing, and would say so if the service answered otherwise."""
    with Recorder(path, Functions(find_station, read_station)) as recorder:
        for tool, arguments in CALLS:
            await recorder.record(tool, arguments)


def write_tasks(path: Path) -> None:
    """Write one task per city and day: eight cities to train, two to validate, three to test."""
    splits = dict(zip(CITIES, (*["train"] * 8, *["validation"] * 2, *["test"] * 3), strict=True))
    rows = [
        {"city": city, "day": day, "split": splits[city], "sky": read_station(STATIONS[city], day)["sky"]}
        for city in CITIES
        for day in DAYS
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(record(FOLDER / "recordings.jsonl"))
    write_tasks(FOLDER / "tasks.jsonl")
