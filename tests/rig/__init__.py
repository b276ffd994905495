"""What the tests of real processes are made with; the benchmarks borrow its test network."""
