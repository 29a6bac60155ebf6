"""What a checkpoint is worth, by a scorer that is not the reward.

Finished episodes flow in, results with intervals flow out. Every interval treats the task as the unit.
"""
