"""The API's errors, as exceptions that become a `Status` on the wire and are raised again from one by clients.

Codes and reasons are those of the API conventions ("Response Status Kind", metav1.StatusReason).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class StatusError(Exception):
    """An answer other than success.

    `code` is the HTTP status, `reason` the CamelCase StatusReason, `message` the sentence for a person, `details`
    the optional StatusDetails (name, group, kind, uid, causes, retryAfterSeconds); an empty mapping is shown as one.
    """

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        self._detailed = details is not None

    def status(self) -> dict[str, Any]:
        """The metav1.Status object of this error."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details or self._detailed:
            status["details"] = self.details
        if not self.reason:
            del status["reason"]
        return status

    def has_cause(self, reason: str) -> bool:
        """Whether one of the details' causes has this reason."""
        return any(found.get("reason") == reason for found in self.details.get("causes") or ())

    @classmethod
    def from_status(cls, status: Mapping[str, Any], code: int = 500) -> StatusError:
        """The error that a `Status` object states; `code` serves where the object has none."""
        return cls(
            int(status.get("code") or code),
            str(status.get("reason") or ""),
            str(status.get("message") or "unknown"),
            status.get("details"),
        )


def cause(field: str, reason: str, message: str) -> dict[str, str]:
    """One StatusCause; `reason` is a metav1.CauseType such as FieldValueInvalid, FieldValueRequired."""
    return {"reason": reason, "message": message, "field": field}


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def not_found(resource: str, name: str, *, group: str = "") -> StatusError:
    """404: no object of this resource (plural) has this name."""
    details = {"name": name, "group": group, "kind": resource} if group else {"name": name, "kind": resource}
    return StatusError(404, "NotFound", f'{_qualified(resource, group)} "{name}" not found', details)


class PathNotFoundError(StatusError):
    """404 for a path that names nothing on this server: upstream answers it in plain text, without a Status."""

    TEXT = "404 page not found\n"


def path_not_found() -> StatusError:
    """404: the path names no resource of this server."""
    return PathNotFoundError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: str, name: str, *, group: str = "") -> StatusError:
    """409: create met an object of the same name."""
    details = {"name": name, "group": group, "kind": resource} if group else {"name": name, "kind": resource}
    return StatusError(409, "AlreadyExists", f'{_qualified(resource, group)} "{name}" already exists', details)


def conflict(
    resource: str, name: str, why: str, *, group: str = "", causes: Sequence[Mapping[str, str]] = ()
) -> StatusError:
    """409: the write contradicts what is stored (resourceVersion, precondition, field manager)."""
    details: dict[str, Any] = {"name": name, "kind": resource}
    if group:
        details["group"] = group
    if causes:
        details["causes"] = [dict(c) for c in causes]
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {why}',
        details,
    )


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(kind: str, name: str, causes: Sequence[Mapping[str, str]], *, group: str = "") -> StatusError:
    """422: the object was read but breaks a rule; each cause names its field."""
    if len(causes) == 1:
        text = f"{causes[0]['field']}: {causes[0]['message']}"
    else:
        text = "[" + ", ".join(f"{c['field']}: {c['message']}" for c in causes) + "]"
    details: dict[str, Any] = {"causes": [dict(c) for c in causes]}
    if kind:
        details["kind"] = kind
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    return StatusError(422, "Invalid", f'{_qualified(kind, group)} "{name}" is invalid: {text}', details)


def bad_request(message: str) -> StatusError:
    """400: the request itself can't be understood."""
    return StatusError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> StatusError:
    """401: no authenticator accepted the request's credentials."""
    return StatusError(401, "Unauthorized", message)


def forbidden(resource: str, name: str, why: str, *, group: str = "") -> StatusError:
    """403: an authoriser or an admission step refuses the request."""
    details: dict[str, Any] = {"kind": resource}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    qualified = _qualified(resource, group)
    subject = f'{qualified} "{name}"' if name else qualified
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def method_not_allowed(action: str, resource: str) -> StatusError:
    """405: this resource does not support the verb."""
    return StatusError(
        405, "MethodNotAllowed", f"{action} is not supported on resources of kind {resource!r}".replace("'", '"')
    )


def not_acceptable(offered: Sequence[str]) -> StatusError:
    """406: none of the media types that the client accepts can be produced."""
    return StatusError(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(offered)}")


def not_acceptable_at_all(offered: Sequence[str]) -> StatusError:
    """406: none of the media types that the client names is one that is produced, whatever its parameters."""
    return StatusError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {', '.join(offered)}")


def expired(message: str) -> StatusError:
    """410: the resource version or continue token is older than what is kept; list again."""
    return StatusError(410, "Expired", message)


def entity_too_large(message: str) -> StatusError:
    """413: the body exceeds the limit."""
    return StatusError(413, "RequestEntityTooLarge", message)


def unsupported_media_type(supported: Sequence[str]) -> StatusError:
    """415: the body's media type is not one of those that this request may have."""
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(supported)}",
    )


def too_many_requests(message: str, retry_after: int) -> StatusError:
    """429: try again after `retry_after` seconds."""
    return StatusError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after})


def internal(message: str) -> StatusError:
    """500: our own fault."""
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")


def unavailable(message: str) -> StatusError:
    """503: a part that the request needs can't be reached now."""
    return StatusError(503, "ServiceUnavailable", message)


def timeout(message: str, retry_after: int = 1) -> StatusError:
    """504: the request was understood and may or may not have been carried out in time."""
    return StatusError(504, "Timeout", message, {"retryAfterSeconds": retry_after})
