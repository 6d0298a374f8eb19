"""Answers in the encoding that the client asked for, where a handler has made JSON: Status, discovery, reviews.

What such handlers answer with is small and rare, so they know of JSON alone, and those few clients that take nothing
but protobuf or YAML get it made again here.
"""

from __future__ import annotations

import orjson

from keelson.api import errors
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.negotiation import JSON, OBJECT, PROTOBUF, YAML, negotiate

from . import envelopes


def renegotiated(request: Request, response: Response) -> Response:
    """The answer in the client's encoding; as it is where it isn't an object in JSON, or nothing better can be made."""
    accept = request.headers.get("accept", "")
    if response.content_type != JSON or not accept:
        return response
    try:
        form = negotiate(accept)
    except errors.StatusError:
        # An error is told in JSON to those who can't be told in their own way.
        return response
    if (
        form.media_type == JSON
        or form.as_kind != OBJECT
        or any(name == "Content-Encoding" for name, _ in response.headers)
    ):
        return response
    value = orjson.loads(response.body)
    if not isinstance(value, dict) or "kind" not in value:
        return response
    if form.media_type == YAML:
        return Response(response.status, to_yaml(value), YAML, response.headers)
    api_version = value.get("apiVersion") or "v1"
    if not envelopes.known(api_version, value["kind"]):
        return response
    body = envelopes.encode({**value, "apiVersion": api_version})
    return Response(response.status, body, PROTOBUF, response.headers)


def to_yaml(value: object) -> bytes:
    """A whole value in YAML, its keys in their order."""
    # Only those who ask for YAML pay for its writer.
    import yaml

    text: str = yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    return text.encode()
