"""What every daemon is made of: flags, configuration files, logs, metrics, health, serving, the process's life."""
