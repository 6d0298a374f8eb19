"""Admission: what may change or refuse a write after it was authorised and before it is stored."""
