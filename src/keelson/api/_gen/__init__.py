"""Generated types and tables; see tools/typed_dicts.py and tools/openapi_details.py."""
