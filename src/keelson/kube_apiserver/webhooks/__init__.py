"""Servers of others that the API server asks: admission and conversion webhooks."""
