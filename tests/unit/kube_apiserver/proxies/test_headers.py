from __future__ import annotations

from keelson.kube_apiserver.proxies import headers


def test_credentials_and_hops_are_not_passed_on() -> None:
    given = {
        "host": "cluster",
        "authorization": "Bearer secret",
        "impersonate-user": "root",
        "x-remote-user": "root",
        "x-remote-extra-scopes": "all",
        "x-front-user": "root",
        "connection": "keep-alive, X-Hop",
        "keep-alive": "5",
        "x-hop": "1",
        "te": "trailers",
        "cookie": "a=b",
        "x-forwarded-for": "192.0.2.1",
    }
    found = headers.of_request(given, "10.0.0.1:80", remote="192.0.2.2", withheld=["X-Front-"])
    assert found == [
        ("Host", "10.0.0.1:80"),
        ("cookie", "a=b"),
        ("X-Forwarded-For", "192.0.2.1, 192.0.2.2"),
        ("Connection", "close"),
    ]


def test_an_upgrade_is_asked_for_anew() -> None:
    given = {
        "connection": "Upgrade",
        "upgrade": "SPDY/3.1",
        "x-stream-protocol-version": "v4.channel.k8s.io, v3.channel.k8s.io",
        "sec-websocket-protocol": "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0",
    }
    assert headers.is_upgrade(given)
    assert headers.of_request(given, "kubelet") == [
        ("Host", "kubelet"),
        ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ("x-stream-protocol-version", "v3.channel.k8s.io"),
        ("sec-websocket-protocol", "v4.channel.k8s.io"),
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
    ]


def test_a_proxied_server_does_not_speak_for_this_one() -> None:
    given = [
        ("Content-Type", "text/plain"),
        ("Access-Control-Allow-Origin", "*"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Set-Cookie", "a=b"),
    ]
    assert headers.of_answer(given) == [("Content-Type", "text/plain"), ("Set-Cookie", "a=b")]


def test_places_of_the_proxied_server_stay_behind_the_proxy() -> None:
    def seen(location: str) -> str:
        return headers.relocated(location, "10.0.0.1:80", "/api/v1/nodes/a/proxy")

    assert seen("/login?next=/x#top") == "/api/v1/nodes/a/proxy/login?next=/x#top"
    assert seen("http://10.0.0.1:80/login") == "/api/v1/nodes/a/proxy/login"
    assert seen("http://10.0.0.1:80") == "/api/v1/nodes/a/proxy/"
    assert seen("https://elsewhere/login") == "https://elsewhere/login"
    assert seen("next") == "next"
