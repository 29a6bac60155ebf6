"""Policies: the small models and the tokenizer this project makes itself. Importing this loads no torch."""
