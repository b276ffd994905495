"""Cranes over ships: the transport contract, the task that owns one link, streams over conveyors."""
