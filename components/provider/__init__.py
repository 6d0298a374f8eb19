"""The plugin `pulumi-resource-keelson`: the custom resources behind the components.

It speaks Pulumi's ResourceProvider protocol (gRPC) itself instead of using dynamic providers, because a dynamic
provider pickles its code into the state: every edit of it would then show as a change of every resource. Here the
state holds data alone. Each kind of resource is one module; `kinds` says what a kind is, `servers` is the wire.
"""
