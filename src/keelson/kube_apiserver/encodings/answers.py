"""Answers in the encoding that the client asked for, where a handler has made JSON: Status, discovery, reviews.

What such handlers answer with is small and rare, so they know of JSON alone, and those few clients that take nothing
but protobuf or YAML get it made again here.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson

from keelson.api import cbor, errors
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.negotiation import (
    CBOR,
    DEFAULT,
    JSON,
    OBJECT,
    PROTOBUF,
    YAML,
    negotiate,
    wants_pretty,
)

from . import envelopes

_ERRORS = 400


def renegotiated(request: Request, response: Response) -> Response:
    """The answer in the client's encoding; as it is where it isn't an object in JSON, or nothing better can be made."""
    accept = request.headers.get("accept", "")
    pretty = wants_pretty(request)
    if response.content_type != JSON or not (accept or pretty):
        return response
    try:
        form = negotiate(accept, whole=response.status >= _ERRORS)
    except errors.StatusError:
        # An error is told in JSON to those who can't be told in their own way, and then as if to a person.
        form, pretty = DEFAULT, True
    pretty = pretty or form.pretty
    if (
        (form.media_type == JSON and not pretty)
        or form.as_kind != OBJECT
        or any(name == "Content-Encoding" for name, _ in response.headers)
    ):
        return response
    value = orjson.loads(response.body)
    if not isinstance(value, dict) or "kind" not in value:
        return response
    if form.media_type == JSON:
        return Response(response.status, orjson.dumps(value, option=orjson.OPT_INDENT_2), JSON, response.headers)
    if form.media_type == YAML:
        return Response(response.status, to_yaml(value), YAML, response.headers)
    if form.media_type == CBOR:
        return Response(response.status, cbor.dumps(value), CBOR, response.headers)
    api_version = value.get("apiVersion") or "v1"
    if not envelopes.known(api_version, value["kind"]):
        return response
    body = envelopes.encode({**value, "apiVersion": api_version})
    return Response(response.status, body, PROTOBUF, response.headers)


def to_yaml(value: object) -> bytes:
    """A whole value in YAML as upstream writes it: keys in the order of the alphabet, quotes double where need be."""
    # Only those who ask for YAML pay for its writer.
    import yaml

    text: str = yaml.dump(value, Dumper=_dumper(), sort_keys=True, allow_unicode=True)
    return text.encode()


@cache
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.CSafeDumper):
        """Strings that look like something else in double quotes, and lines as a block."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        style = None
        if "\n" in value:
            style = "|"
        elif dumper.resolve(yaml.ScalarNode, value, (True, False)) != "tag:yaml.org,2002:str":
            style = '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper
