"""Controller: the loop of a training run, and the one place that starts and joins its work (``run.py``)."""
