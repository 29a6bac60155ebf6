"""Resources: what an episode owns outside of Python's memory, gone however it ends."""

from turnwright.environments.resources.base import Resource, State, hash_state

__all__ = ["Resource", "State", "hash_state"]
