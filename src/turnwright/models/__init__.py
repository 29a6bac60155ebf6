"""Models: load, save and run Hugging Face causal language models with shared prefixes. Importing this loads no torch."""
