"""The wire protocol without I/O: bytes, events and ``now`` go in; bytes and events come out."""
