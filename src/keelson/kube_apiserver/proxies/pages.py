"""Links in the HTML of a proxied server, changed so that they lead through the proxy ("Access Services Running on
Clusters"): a page that says `/style.css` means its own server's, and a browser would ask the API server for it.

Pure. Pages are strangers': they are scanned in linear time (re2), and what does not look like a tag stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import re2  # type: ignore[import-untyped]

MOST_BYTES = 1 << 20
"""Pages longer than this are passed on as they are: to scan one must not keep other requests waiting."""

# The attributes that hold URLs, by tag (HTML 4.01 and the HTML standard, indices of attributes).
_ATTRIBUTES: dict[str, frozenset[str]] = {
    tag: frozenset(names.split())
    for tag, names in {
        "a": "href",
        "applet": "codebase",
        "area": "href",
        "audio": "src",
        "base": "href",
        "blockquote": "cite",
        "body": "background",
        "button": "formaction",
        "command": "icon",
        "del": "cite",
        "embed": "src",
        "form": "action",
        "frame": "longdesc src",
        "head": "profile",
        "html": "manifest",
        "iframe": "longdesc src",
        "img": "longdesc src usemap",
        "input": "src usemap formaction",
        "ins": "cite",
        "link": "href",
        "object": "classid codebase data usemap",
        "q": "cite",
        "script": "src",
        "source": "src",
        "video": "poster src",
    }.items()
}


_ATTRIBUTE = re2.compile(r"""([^\s"'<>/=]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'=<>`]+)""")
_TAG = re2.compile(r"""<!--(?s:.*?)-->|<([A-Za-z][A-Za-z0-9]*)((?:[^<>"']|"[^"]*"|'[^']*')*)>""")


def rewritten(page: str, rewrite: Callable[[str], str]) -> str:
    """The page with each of its links replaced by what `rewrite` makes of it."""

    def changed_tag(match: Any) -> str:
        whole: str = match.group(0)
        name = match.group(1)
        wanted = _ATTRIBUTES.get(name.lower()) if name else None
        if wanted is None:
            return whole

        def changed_attribute(found: Any) -> str:
            key, equals, stated = found.group(1), found.group(2), found.group(3)
            if key.lower() not in wanted:
                return str(found.group(0))
            # As written: what it escapes stays escaped.
            link = stated[1:-1] if stated[0] in "\"'" else stated
            fresh = rewrite(link)
            if fresh == link:
                return str(found.group(0))
            return f"""{key}{equals}"{fresh.replace('"', "&quot;")}\""""

        return f"<{name}{_ATTRIBUTE.sub(changed_attribute, match.group(2))}>"

    return str(_TAG.sub(changed_tag, page))
