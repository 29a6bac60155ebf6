"""Write the schema files from the types: ``python -m turnwright.evaluation.schemas.write``."""

import json
from pathlib import Path

from turnwright.evaluation.compare import COMPARISON_ADAPTER
from turnwright.evaluation.result import RESULT_ADAPTER

ADAPTERS = {"evaluation.json": RESULT_ADAPTER, "comparison.json": COMPARISON_ADAPTER}
FOLDER = Path(__file__).parent


def schema_text(file_name: str) -> str:
    """Return the text that the schema file should have."""
    return json.dumps(ADAPTERS[file_name].json_schema(mode="serialization"), indent=2) + "\n"


if __name__ == "__main__":
    for file_name in ADAPTERS:
        (FOLDER / file_name).write_text(schema_text(file_name))
