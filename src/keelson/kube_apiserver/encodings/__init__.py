"""Wire encodings beside JSON and YAML."""
