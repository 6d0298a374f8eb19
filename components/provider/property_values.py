"""Pulumi property maps as plain Python values, with the secret ones remembered by path.

The wire form is a protobuf Struct in which secrets, unknowns and outputs are maps or strings with agreed signatures
(Pulumi's "property value" encoding). Kinds of resources want plain dicts; what was secret on the way in must be secret
again on the way out, or a key would be printed by the engine. So a map is carried with the set of its secret paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import struct_pb2

Path = tuple[str | int, ...]

# Signatures of Pulumi's property encoding (sdk: `resource.SigKey`, `SecretSig`, `OutputValueSig`, `Unknown*Value`).
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a wire constant, not a password
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS: Final = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)


class _Unknown:
    """The one value of its type: what a preview cannot know before something is created."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True, slots=True)
class Properties:
    """A property map: `values` is plain (`UNKNOWN` marks what is not known yet), `secrets` holds the secret paths."""

    values: dict[str, Any]
    secrets: frozenset[Path] = field(default=frozenset())

    def has_unknown(self) -> bool:
        """Whether any value, at any depth, is not known yet."""
        return contains_unknown(self.values)


def contains_unknown(value: object) -> bool:
    """Whether `value` is or holds `UNKNOWN`."""
    if value is UNKNOWN:
        return True
    if isinstance(value, Mapping):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(contains_unknown(item) for item in value)
    return False


def decode(struct: struct_pb2.Struct) -> Properties:
    """Turn the wire's Struct into plain values and the paths of its secrets."""
    secrets: set[Path] = set()
    values = {name: _decode(value, (name,), secrets) for name, value in struct.fields.items()}
    return Properties(values, frozenset(secrets))


def _decode(value: struct_pb2.Value, path: Path, secrets: set[Path]) -> Any:
    match value.WhichOneof("kind"):
        case "null_value" | None:
            return None
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
        case "list_value":
            return [_decode(item, (*path, index), secrets) for index, item in enumerate(value.list_value.values)]
        case _:
            fields = value.struct_value.fields
            if SIGNATURE not in fields:
                return {name: _decode(item, (*path, name), secrets) for name, item in fields.items()}
            signature = fields[SIGNATURE].string_value
            if signature == SECRET:
                secrets.add(path)
                return _decode(fields["value"], path, secrets)
            if signature == OUTPUT:
                if fields["secret"].bool_value:
                    secrets.add(path)
                return _decode(fields["value"], path, secrets) if "value" in fields else UNKNOWN
            raise ValueError(f"property {render_path(path)} has signature {signature}, which no resource of ours takes")


def encode(values: Mapping[str, Any], secrets: Iterable[Path] = ()) -> struct_pb2.Struct:
    """Turn plain values into the wire's Struct; every path in `secrets` that exists is wrapped as a secret."""
    wanted = frozenset(secrets)
    struct = struct_pb2.Struct()
    for name, value in values.items():
        struct.fields[name].CopyFrom(_encode(value, (name,), wanted))
    return struct


def _encode(value: Any, path: Path, secrets: frozenset[Path]) -> struct_pb2.Value:
    if path in secrets:
        wrapped = struct_pb2.Value()
        wrapped.struct_value.fields[SIGNATURE].string_value = SECRET
        # What lies inside a secret is secret with it, and is not wrapped again.
        wrapped.struct_value.fields["value"].CopyFrom(_encode(value, path, frozenset()))
        return wrapped
    result = struct_pb2.Value()
    if value is UNKNOWN:
        result.string_value = UNKNOWN_STRING
    elif value is None:
        result.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        result.bool_value = value
    elif isinstance(value, int | float):
        result.number_value = value
    elif isinstance(value, str):
        result.string_value = value
    elif isinstance(value, Mapping):
        # An empty map must still be a map on the wire, hence the explicit touch.
        result.struct_value.SetInParent()
        for name, item in value.items():
            result.struct_value.fields[name].CopyFrom(_encode(item, (*path, name), secrets))
    elif isinstance(value, list | tuple):
        result.list_value.SetInParent()
        result.list_value.values.extend(_encode(item, (*path, index), secrets) for index, item in enumerate(value))
    else:
        raise TypeError(f"property {render_path(path)} is a {type(value).__name__}, which has no wire form")
    return result


def differences(old: Any, new: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield (path, "add" | "delete" | "update") for each leaf in which `new` differs from `old`.

    A null and an absent key are the same, as they are to the engine. Lists are compared as wholes when their length
    differs, since a positional comparison would then blame every later element.
    """
    if old is None and new is None:
        return
    if old is None:
        yield path, "add"
    elif new is None:
        yield path, "delete"
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(old.keys() | new.keys()):
            yield from differences(old.get(name), new.get(name), (*path, name))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, (*path, index))
    elif new is UNKNOWN or old != new:
        yield path, "update"


def render_path(path: Path) -> str:
    """Write a path the way the engine's detailed diffs do: `files["/etc/hosts"]`, `roles[0]`, `host.address`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "a").replace("-", "a").isalnum():
            text += f".{part}" if text else part
        else:
            escaped = part.replace("\\", "\\\\").replace('"', '\\"')
            text += f'["{escaped}"]'
    return text
