"""Who asks: one module a kind of credential, and the union of them."""
