"""Inference: engines that turn token ids into sampled token ids. Importing this loads no torch."""
