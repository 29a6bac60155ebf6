"""Turnwright: multi-turn reinforcement learning of tool-using LLM agents, open and self-hosted.

You bring an agent and an environment; Turnwright runs the rollouts, records every token, trains the policy and
proves, independently of the reward, whether the agent got better. Importing this package loads no torch.
"""

__version__ = "0.1.0"
