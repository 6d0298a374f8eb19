"""What is recorded of one request while it goes its way, and the events that are made of it (audit.k8s.io/v1 Event)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from keelson.api import decoding, meta
from keelson.api.errors import StatusError
from keelson.api.meta import Object
from keelson.kube_apiserver.encodings import protobuf
from keelson.kube_apiserver.registry.contexts import Context, User
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.negotiation import JSON
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .policies import API_VERSION, LEVELS, Verdict

_METADATA, _REQUEST, _RESPONSE = 1, 2, 3
_MOST_AGENT = 1024


def _now() -> str:
    return meta.format_micro_time(datetime.now(UTC))


def source_ips(headers: Mapping[str, str], remote: str) -> list[str]:
    """Where a request came from: proxies' statements in their order, then the other end of the connection."""
    stated = [_address(part) for part in headers.get("x-forwarded-for", "").split(",")]
    found = [each for each in stated if each]
    if not found and (real := _address(headers.get("x-real-ip", ""))):
        found.append(real)
    if remote and (not found or found[-1] != remote):
        found.append(remote)
    return found


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""


class Record:
    """One request. `send` takes a finished event; events are made only where the verdict wants their stage."""

    def __init__(
        self,
        identity: str,
        verdict: Verdict,
        request: Request,
        info: RequestInfo,
        user: User | None,
        send: Callable[[Object], bool],
    ) -> None:
        self._verdict = verdict
        self._send = send
        self._status: Object | None = None
        self._started = False
        self.annotations: dict[str, str] = {}
        # Where admission leaves what it has to say.
        self.context: Context | None = None
        agent = request.headers.get("user-agent", "")
        if len(agent) > _MOST_AGENT:
            agent = agent[:_MOST_AGENT] + "...TRUNCATED"
        self._event: Object = {
            "kind": "Event",
            "apiVersion": API_VERSION,
            "level": LEVELS[verdict.level],
            "auditID": identity,
            "stage": "",
            "requestURI": request.target,
            "verb": info.verb,
            "user": user.described() if user is not None else {},
            "sourceIPs": source_ips(request.headers, request.remote),
            "userAgent": agent,
        }
        if info.is_resource:
            shown = {
                "resource": info.resource,
                "namespace": info.namespace,
                "name": info.name,
                "apiGroup": info.group,
                "apiVersion": info.version,
                "subresource": info.subresource,
            }
            self._event["objectRef"] = {key: value for key, value in shown.items() if value}
        self._event["requestReceivedTimestamp"] = _now()

    def impersonated(self, user: User, constraint: str) -> None:
        """The request acts as somebody else from here on; `constraint` is the verb of constrained impersonation."""
        self._event["impersonatedUser"] = user.described()
        if constraint:
            self._event["authenticationMetadata"] = {"impersonationConstraint": constraint}

    def decoded(self, obj: Object) -> None:
        """The body, as the kind that it is; it may change afterwards."""
        reference = self._event.setdefault("objectRef", {})
        metadata = obj.get("metadata")
        if isinstance(metadata, dict):
            for key in ("namespace", "name", "uid", "resourceVersion"):
                if metadata.get(key) and not reference.get(key):
                    reference[key] = metadata[key]
        if self._verdict.level >= _REQUEST:
            self._event["requestObject"] = orjson.loads(orjson.dumps(self._trimmed(obj)))

    def patched(self, body: bytes, media_type: str) -> None:
        """The body is a patch."""
        if self._verdict.level >= _REQUEST:
            try:
                self._event["requestObject"] = decoding.parse(body, media_type)[0]
            except StatusError:
                # What can't be read has its refusal in the response's status.
                self._event.pop("requestObject", None)

    def received(self) -> bool:
        """The stage RequestReceived; False where it could not be recorded."""
        return self._stage("RequestReceived")

    def started(self, status: int) -> None:
        """The headers of an answer that goes on are out."""
        self._started = True
        self._status = {"metadata": {}, "code": status}
        self._stage("ResponseStarted")

    def finished(self, response: Response | None, *, panicked: bool = False) -> None:
        """The request is answered; None where the answer was streamed."""
        if response is not None:
            self._status = {"metadata": {}, "code": response.status}
            if self._verdict.level >= _RESPONSE or response.status >= 400:
                self._answered(response)
        elif self._status is None:
            self._status = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}
        if self.context is not None:
            self.annotations.update(getattr(self.context, "annotations", {}))
        self._stage("Panic" if panicked else "ResponseComplete")

    def _answered(self, response: Response) -> None:
        obj = _object(response)
        if obj is None:
            return
        if obj.get("kind") == "Status" and obj.get("apiVersion") == "v1":
            status = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
            self._status = {**status, "metadata": {}, "code": response.status}
        if self._verdict.level >= _RESPONSE:
            self._event["responseObject"] = self._trimmed(obj)

    def _trimmed(self, obj: Object) -> Object:
        if not self._verdict.omit_managed_fields:
            return obj
        if isinstance(obj.get("items"), list):
            return {**obj, "items": [self._trimmed(each) for each in obj["items"]]}
        metadata = obj.get("metadata")
        if not isinstance(metadata, dict) or "managedFields" not in metadata:
            return obj
        return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}

    def _stage(self, stage: str) -> bool:
        if stage in self._verdict.omitted:
            return True
        event = {**self._event, "stage": stage, "stageTimestamp": _now()}
        if self._status is not None:
            event["responseStatus"] = self._status
        if self.annotations:
            event["annotations"] = dict(self.annotations)
        return self._send(event)


def _object(response: Response) -> Any:
    """The answer's object, None where it is none."""
    body = response.body
    media_type = response.content_type.partition(";")[0]
    if body.startswith(protobuf.MAGIC):
        try:
            return protobuf.decode(body)
        except (ValueError, StatusError):
            return None
    if media_type != JSON:
        return None
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def legacy(event: Object) -> str:
    """The event as one line of text (--audit-log-format=legacy)."""

    def quoted(text: str) -> str:
        return orjson.dumps(text).decode()

    user, other = event.get("user") or {}, event.get("impersonatedUser")
    groups = ",".join(map(quoted, user.get("groups") or ())) or "<none>"
    as_groups = "<lookup>"
    if other is not None and other.get("groups"):
        as_groups = ",".join(map(quoted, other["groups"]))
    fields = {
        "id": event["auditID"],
        "stage": event["stage"],
        "ip": (event.get("sourceIPs") or ["<unknown>"])[0],
        "method": event["verb"],
        "user": user.get("username") or "<none>",
        "groups": groups,
        "as": "<self>" if other is None else other["username"],
        "asgroups": as_groups,
        "user-agent": event.get("userAgent") or "",
        "namespace": (event.get("objectRef") or {}).get("namespace") or "<none>",
        "uri": event["requestURI"],
        "response": str((event.get("responseStatus") or {}).get("code") or "<deferred>"),
    }
    shown = " ".join(f"{key}={quoted(value)}" for key, value in fields.items())
    return f"{event['requestReceivedTimestamp']} AUDIT: {shown}"
