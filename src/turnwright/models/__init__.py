"""Models: load, save and run Hugging Face causal language models with shared prefixes; imports no torch by itself."""
