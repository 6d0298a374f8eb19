"""What each controller decides, as pure functions of objects; no I/O, no clock, no randomness of their own."""
