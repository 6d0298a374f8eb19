"""What goes wrong with hosts and their network, in one line for the operator."""

from components.setup.errors import SetupError


class HostError(SetupError):
    """A host or a lab's network cannot be made, reached or removed. `problem` names it, `remedy` says what to do."""
