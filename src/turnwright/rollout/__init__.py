"""Rollout: plays episodes and turns what was recorded into training rows. Importing this loads no torch."""
