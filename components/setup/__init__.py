"""What `make` prepares and runs on the operator's machine, before and around `pulumi up`."""
