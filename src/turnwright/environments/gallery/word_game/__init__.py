"""A word game: find a hidden word of five letters in six guesses, by coloured feedback as text."""
