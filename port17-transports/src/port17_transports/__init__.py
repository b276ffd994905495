"""Port17's own transports, as ordinary plugins found through entry points.

What a ship promises is the core's contract; nothing here knows of blocks, cells or handshakes.
"""
