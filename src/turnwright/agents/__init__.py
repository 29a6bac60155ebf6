"""Agents: how whoever talks to the policy and the tools is reached. The built-in one is a plain tool loop."""
