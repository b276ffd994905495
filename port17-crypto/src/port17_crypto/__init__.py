"""Port17's own cipher suites and identity schemes, as ordinary plugins found through entry points.

What a suite and a scheme promise is the core's contract; nothing here knows of cells, links or circuits.
"""
