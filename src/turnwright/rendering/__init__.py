"""Rendering: messages to token ids and back, by a tokenizer and its chat template. Importing this loads no torch."""
