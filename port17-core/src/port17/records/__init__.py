"""Values that are hashed, signed and travel. Bytes and the time go in; no socket, task or cipher is known."""
