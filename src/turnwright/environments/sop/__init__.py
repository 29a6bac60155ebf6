"""SOP-Bench: any domain folder of it, or in its form, as an environment."""
