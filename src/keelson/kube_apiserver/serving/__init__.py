"""HTTP: connections, messages, what a path asks for, and the chain that every request goes through."""
