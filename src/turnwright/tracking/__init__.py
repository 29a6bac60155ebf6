"""Tracking: views of a run directory, for people to look at. They decide nothing and can be made again from it."""
