"""Subresources with a kind of their own: what they show and what they write. One module each."""
