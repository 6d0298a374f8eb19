"""Links in pages: those that mean the proxied server lead through the proxy, and nothing else changes."""

import pytest

from keelson.kube_apiserver.proxies import headers, pages

PREFIX = "/api/v1/namespaces/n/pods/p/proxy"


def rewritten(page: str) -> str:
    return pages.rewritten(page, lambda link: headers.relocated(link, "10.0.0.1:80", PREFIX))


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<a href="/x">', f'<a href="{PREFIX}/x">'),
        ("<A HREF = '/x?a=1&amp;b=2'>t</A>", f'<A HREF = "{PREFIX}/x?a=1&amp;b=2">t</A>'),
        ("<img alt=a src=/i.png />", f'<img alt=a src="{PREFIX}/i.png" />'),
        ('<a href="http://10.0.0.1:80/x">', f'<a href="{PREFIX}/x">'),
        ('<script src="/s.js"></script>', f'<script src="{PREFIX}/s.js"></script>'),
        (f'<a href="{PREFIX}/x">', f'<a href="{PREFIX}/x">'),
        ('<a href="x">', '<a href="x">'),
        ('<a href="http://example.com/x">', '<a href="http://example.com/x">'),
        ('<p title="/x">/x</p>', '<p title="/x">/x</p>'),
        ('<a title="/x" href=">"', '<a title="/x" href=">"'),
        ('<!-- <a href="/x"> -->', '<!-- <a href="/x"> -->'),
        ("<a href='/x\"y'>", f'<a href="{PREFIX}/x&quot;y">'),
    ],
)
def test_links(page: str, expected: str) -> None:
    assert rewritten(page) == expected


def test_a_hostile_page_takes_no_longer_than_another() -> None:
    # Each of these would make a backtracking matcher look at the rest of the page again.
    for piece in ('<a href="', "<!--", "<a <a ", "<a b='"):
        page = piece * (pages.MOST_BYTES // 16 // len(piece))
        assert rewritten(page) == page
