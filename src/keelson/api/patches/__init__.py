"""The four patch formats and field ownership, as functions of what is stored, what was sent, the schema and the time.

`json_patch` (RFC 6902), `merge_patch` (RFC 7386) and `strategic` return a new object and leave their arguments alone;
`server_side_apply` (KEP-555) also returns who owns which field, which `managed_fields` keeps for every other write.
"""
