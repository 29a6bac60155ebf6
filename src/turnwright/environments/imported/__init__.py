"""Imported: tools that others serve, by MCP or an OpenAPI document."""
