"""How bottles are kept and, later, taken in and passed on."""
