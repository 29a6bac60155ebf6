"""Write the desk's tasks: one parcel of one day each, no day twice, with the right label for the evaluator.

    python examples/byo_agent/make_tasks.py [FOLDER]

The agent is given ``prompt`` and ``day``; ``gold`` is for the scorer alone.
"""

import json
import sys
from pathlib import Path

from desk import Desk

SIZES = {"train": 200, "validation": 40, "test": 120}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    first = 0
    for split, size in SIZES.items():
        desks = {day: Desk(day) for day in range(first, first + size)}
        rows = [
            {"id": f"{split}-{day}", "prompt": f"parcel: {desk.asked}", "day": day, "gold": desk.label()}
            for day, desk in desks.items()
        ]
        (folder / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        first += size


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("tasks"))
