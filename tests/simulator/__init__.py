"""Networks of hundreds of whole nodes in one process, on a virtual clock: the same seed, the same events.

What decides is the project's own, whole: intake, rack, gossip, manager, mesh and life of every node. What is
simulated is what would move bytes between them: ships, links, and who owns the time.
"""
