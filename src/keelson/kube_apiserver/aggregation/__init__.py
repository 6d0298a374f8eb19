"""API aggregation: groups that other servers serve, found, judged, described and passed on as if they were ours."""
