"""API priority and fairness (KEP-1040): whose requests are served first when not all can be served at once."""
