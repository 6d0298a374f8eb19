"""The cluster's drawn secrets: the token that kubelets join with, and the key that encrypts Secrets at rest."""

from __future__ import annotations

import pulumi

from components.resources import RandomSecret


class Secrets(pulumi.ComponentResource):
    """What is drawn once a cluster and never leaves the stack's state but to the hosts that need it."""

    bootstrap_token: pulumi.Output[str]
    """`id.secret` (Kubernetes: "Authenticating with Bootstrap Tokens")."""
    encryption_key: pulumi.Output[str]
    """32 bytes in base64, for the EncryptionConfiguration of the API servers."""

    def __init__(self, resource_name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("keelson:components:Secrets", resource_name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.bootstrap_token = RandomSecret("bootstrap-token", form="bootstrap_token", opts=child).value
        self.encryption_key = RandomSecret("encryption-key", form="encryption_key", opts=child).value
        self.register_outputs({})
