"""A full node of the network: its links and lanes, the circuits it relays, and the operations it offers."""
