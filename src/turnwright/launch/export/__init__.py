"""Export: an environment of ours for agents and trainers of others, as an MCP server or as an OpenEnv-style service.

episode (run by rollout.runner, driven from outside) <- sessions (who, how many, how long) <- mcp | openenv <- serve
"""
