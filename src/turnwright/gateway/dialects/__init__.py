"""Dialects: how each vendor's clients spell a model call and its reply. No HTTP here, no trajectory, no tokens."""
