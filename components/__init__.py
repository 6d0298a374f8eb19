"""The toolkit: Pulumi components that turn typed settings into hosts, keys, daemons and a verified cluster."""
