"""Generated types; see tools/typed_dicts.py."""
