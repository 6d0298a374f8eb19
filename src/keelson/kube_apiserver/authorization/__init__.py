"""Who may do what: one module an authoriser, and the union of them."""
