"""What policies make of a request, by their expressions alone. Pure."""
