"""Bodies of requests, in whichever encoding they come, as objects of the kind that is expected."""

from __future__ import annotations

from keelson.api import decoding, errors
from keelson.api.meta import Object
from keelson.api.schemas import Kind, Schema, Typed
from keelson.kube_apiserver.registry.contexts import Context
from keelson.kube_apiserver.serving.messages import JSON, Request
from keelson.kube_apiserver.serving.negotiation import accepted_bodies

from . import protobuf


def read(context: Context, request: Request, typed: Typed, schema: Schema | None = None) -> Object:
    """The body as an object of this kind; its warnings go to the client. Raises StatusError 400, 415."""
    if protobuf.is_protobuf(request.headers):
        obj = protobuf.decode(request.body)
        if isinstance(typed, Kind) and typed.kind == "DeleteOptions":
            # Every group has this kind, and clients name it by the group that they delete in.
            obj["apiVersion"] = typed.api_version
        decoding.conform(obj, typed, schema=schema, field_validation="Ignore")
        if request.audit is not None:
            request.audit.decoded(obj)
        return obj
    media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON
    if media_type not in accepted_bodies():
        raise errors.unsupported_media_type(accepted_bodies())
    decoded = decoding.decode(
        request.body,
        media_type,
        typed,
        schema=schema,
        field_validation=context.field_validation,
    )
    context.warnings.extend(decoded.warnings)
    if request.audit is not None:
        request.audit.decoded(decoded.object)
    return decoded.object
