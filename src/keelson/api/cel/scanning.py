"""From the text of an expression to its tokens (CEL specification, "Syntax")."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .syntax import CelError
from .values import Uint

INT64_MAX = (1 << 63) - 1
RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
    "namespace", "return", "var", "void", "while",
})  # fmt: skip


class Token(NamedTuple):
    """`kind` is "literal", "ident", "field" (in backticks), "op" or "end"."""

    kind: str
    text: str
    offset: int
    value: Any = None


_PREFIX = r"(?P<prefix>[rR][bB]?|[bB][rR]?)?"
_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n\f]+|//[^\n]*)"
    rf"|(?P<string>{_PREFIX}(?P<quote>'''|\"\"\"|'|\"))"
    r"|(?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<int>0x[0-9a-fA-F]+|[0-9]+)(?P<unsigned>[uU])?"
    r"|(?P<ident>[A-Za-z_][A-Za-z0-9_]*)"
    r"|`(?P<field>[A-Za-z0-9_.\-/ ]+)`"
    r"|(?P<op>&&|\|\||<=|>=|==|!=|[-+*/%!?:.,<>()\[\]{}])"
)
_CONSTANTS = {"true": True, "false": False, "null": None}


def tokens(source: str) -> list[Token]:
    """The tokens, the last of which is "end". Raises CelError."""
    found: list[Token] = []
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise CelError(source, [(position, f"Syntax error: token recognition error at: '{source[position]}'")])
        offset, position = position, match.end()
        if match["string"] is not None:
            token, position = _string(source, match, offset)
            found.append(token)
        elif match["float"] is not None:
            found.append(Token("literal", match["float"], offset, float(match["float"])))
        elif match["int"] is not None:
            found.append(_integer(source, match, offset))
        elif match["ident"] is not None:
            name = match["ident"]
            if name in _CONSTANTS:
                found.append(Token("literal", name, offset, _CONSTANTS[name]))
            elif name == "in":
                found.append(Token("op", name, offset))
            else:
                found.append(Token("ident", name, offset))
        elif match["field"] is not None:
            found.append(Token("field", match["field"], offset))
        elif match["op"] is not None:
            found.append(Token("op", match["op"], offset))
    found.append(Token("end", "<EOF>", len(source)))
    return found


def _integer(source: str, match: re.Match[str], offset: int) -> Token:
    try:
        number = int(match["int"], 0) if match["int"].startswith("0x") else int(match["int"])
    except ValueError:
        # More digits than Python reads; too large in any case.
        number = 1 << 64
    if match["unsigned"]:
        if number >= 1 << 64:
            raise CelError(source, [(offset, "invalid uint literal")])
        return Token("literal", match[0], offset, Uint(number))
    # One more than fits is fine behind a minus sign; the parser looks.
    if number > INT64_MAX + 1:
        raise CelError(source, [(offset, "invalid int literal")])
    return Token("literal", match[0], offset, number)


_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\'\"`?])|[xX](?P<hex>[0-9a-fA-F]{2})|u(?P<four>[0-9a-fA-F]{4})"
    r"|U(?P<eight>[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2}))"
)


def _string(source: str, match: re.Match[str], offset: int) -> tuple[Token, int]:
    quote, prefix = match["quote"], (match["prefix"] or "").lower()
    raw, binary = "r" in prefix, "b" in prefix
    data: list[str] = []
    blob = bytearray()
    position = match.end()
    while not source.startswith(quote, position):
        if position >= len(source) or (len(quote) == 1 and source[position] in "\r\n"):
            raise CelError(source, [(offset, f"Syntax error: token recognition error at: '{source[offset:position]}'")])
        char = source[position]
        if char != "\\" or raw:
            # A quote behind a backslash does not end even a raw string.
            width = 2 if char == "\\" and position + 1 < len(source) else 1
            piece = source[position : position + width]
            data.append(piece)
            blob += piece.encode()
            position += width
            continue
        escape = _ESCAPE.match(source, position)
        if escape is None:
            raise CelError(source, [(position, "Syntax error: invalid escape sequence")])
        position = escape.end()
        code = _code(escape)
        if binary and (escape["four"] or escape["eight"]):
            raise CelError(source, [(position, "Syntax error: unicode escapes are not allowed in bytes")])
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise CelError(source, [(position, "Syntax error: invalid code point")])
        data.append(chr(code))
        blob += bytes([code]) if binary and code < 256 else chr(code).encode()
    end = position + len(quote)
    value: str | bytes = bytes(blob) if binary else "".join(data)
    return Token("literal", source[offset:end], offset, value), end


def _code(escape: re.Match[str]) -> int:
    if escape["simple"]:
        return ord(_SIMPLE[escape["simple"]])
    if escape["octal"]:
        return int(escape["octal"], 8)
    return int(escape["hex"] or escape["four"] or escape["eight"], 16)
