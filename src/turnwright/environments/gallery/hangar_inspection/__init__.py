"""A hangar inspection: a full-size procedure over seven tools, decided step by step, answered in seven fields."""
