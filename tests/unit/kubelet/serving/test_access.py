from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from keelson.api.meta import Object
from keelson.kubelet.serving.access import Access, attributes


class Reviews:
    """An API server that knows one token and what its user may do."""

    def __init__(self, allowed: set[str]) -> None:
        self.allowed = allowed
        self.asked: list[str] = []

    async def create(self, resource: str, obj: Object) -> Object:
        self.asked.append(obj["kind"])
        if obj["kind"] == "TokenReview":
            known = obj["spec"]["token"] == "good"
            user = {"username": "jane", "groups": ["dev"], "uid": "7", "extra": {"k": ["v"]}}
            return {"status": {"authenticated": known, "user": user if known else {}}}
        assert obj["spec"]["user"] == "jane"
        assert obj["spec"]["extra"] == {"k": ["v"]}
        assert obj["spec"]["resourceAttributes"]["name"] == "node-1"
        return {"status": {"allowed": obj["spec"]["resourceAttributes"]["subresource"] in self.allowed}}


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def request(path: str, token: str = "", method: str = "GET") -> web.Request:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return make_mocked_request(method, path, headers=headers, transport=_NoCertificate())


class _NoCertificate:
    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/pods", ("get", ("pods", "proxy"))),
        ("GET", "/metrics/resource", ("get", ("metrics",))),
        ("GET", "/stats/summary", ("get", ("stats",))),
        ("POST", "/exec/ns/p/c", ("create", ("proxy",))),
        ("GET", "/containerLogs/ns/p/c", ("get", ("proxy",))),
        ("GET", "/healthz", ("get", ("healthz", "proxy"))),
        ("GET", "/podsx", ("get", ("proxy",))),
    ],
)
def test_what_a_request_is(method: str, path: str, expected: Any) -> None:
    assert attributes(method, path) == expected


async def test_nobody_and_somebody_unknown_are_refused() -> None:
    access = Access(Reviews({"proxy"}), "node-1", monotonic=Clock())
    for token in ("", "bad"):
        with pytest.raises(web.HTTPUnauthorized):
            await access.check(request("/pods", token))


async def test_a_user_may_what_the_api_allows() -> None:
    access = Access(Reviews({"metrics"}), "node-1", monotonic=Clock())
    assert (await access.check(request("/metrics", "good"))).name == "jane"
    with pytest.raises(web.HTTPForbidden):
        await access.check(request("/pods", "good"))
    with pytest.raises(web.HTTPForbidden):
        await access.check(request("/exec/ns/p/c", "good", "POST"))


async def test_either_of_two_subresources_allows() -> None:
    for allowed in ("pods", "proxy"):
        access = Access(Reviews({allowed}), "node-1", monotonic=Clock())
        assert await access.check(request("/pods", "good"))


async def test_answers_are_kept_for_a_while() -> None:
    reviews, clock = Reviews({"metrics"}), Clock()
    access = Access(reviews, "node-1", monotonic=clock, token_ttl=10, authorized_ttl=20)
    for _ in range(3):
        await access.check(request("/metrics", "good"))
    assert reviews.asked == ["TokenReview", "SubjectAccessReview"]
    clock.now = 11
    await access.check(request("/metrics", "good"))
    assert reviews.asked[2:] == ["TokenReview"]
    clock.now = 21
    reviews.allowed.clear()
    with pytest.raises(web.HTTPForbidden):
        await access.check(request("/metrics", "good"))
