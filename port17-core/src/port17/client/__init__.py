"""The leaf of the network: takes in the connections of programs and sends them through circuits."""
