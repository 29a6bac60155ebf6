"""Delivery rounds: a courier's morning whose orders are cancelled and added while the courier is on the road."""
