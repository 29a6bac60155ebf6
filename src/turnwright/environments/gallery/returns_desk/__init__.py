"""The demo's domain: a returns desk that decides by a written procedure over facts from three chained lookups."""
