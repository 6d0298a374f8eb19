"""The API as data: kinds, schemas, defaulting, validation, patches, selectors. Pure: nothing here does I/O."""
