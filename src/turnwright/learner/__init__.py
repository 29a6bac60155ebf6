"""Learner: the only place that changes weights. Importing this loads no torch."""
