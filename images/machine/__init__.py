"""The host image: a Debian tree that machine containers boot from."""
