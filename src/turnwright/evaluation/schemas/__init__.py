"""JSON schemas of what ``eval --json`` and ``compare --json`` print, shipped as files for readers in any language."""
