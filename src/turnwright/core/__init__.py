"""The nouns: frozen dataclasses on the standard library alone, without I/O.

Every other package speaks in these types; this package imports none of them.
"""
