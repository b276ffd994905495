"""A slow, plain implementation of the protocol's cryptography, written from the documents alone.

Other implementations are checked against it. It imports nothing of Port17 and shares no code with it.
"""
