"""The controllers, one a file; each names at its top what it reads and what it writes."""
