"""Resources as they are served: what is known of each, and the one road that every verb takes through storage."""
