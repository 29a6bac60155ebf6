"""JSON schema of what ``check --json`` prints, shipped as a file for readers in any language."""
