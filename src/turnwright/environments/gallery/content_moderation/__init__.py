"""A moderation queue with appeals: facts from tools, exceptions and strikes by a policy, answered in five fields."""
