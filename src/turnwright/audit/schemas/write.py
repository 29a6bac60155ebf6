"""Write the schema file from the type: ``python -m turnwright.audit.schemas.write``."""

import json
from pathlib import Path

from turnwright.audit.report import REPORT_ADAPTER

FILE = Path(__file__).parent / "check.json"


def schema_text() -> str:
    """Return the text that the schema file should have."""
    return json.dumps(REPORT_ADAPTER.json_schema(mode="serialization"), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(schema_text())
