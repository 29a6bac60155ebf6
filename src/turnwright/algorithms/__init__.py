"""Algorithms: pure functions over tensors, one file each. Importing this loads no torch."""
