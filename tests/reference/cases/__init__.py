"""What is in each file of vectors, computed by the reference."""
