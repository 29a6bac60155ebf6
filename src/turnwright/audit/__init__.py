"""The audit: is an environment fit to train in? It plays episodes by script, needs no model, and returns findings."""
