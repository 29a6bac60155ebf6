"""The gallery: complete environments that come along, one room each."""
