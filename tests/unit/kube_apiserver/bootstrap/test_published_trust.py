"""Several servers publish whom they trust in one ConfigMap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson

from keelson.kube_apiserver.bootstrap import published_trust
from tests.contracts.kube_apiserver.api_servers import Authority

CA, PROXY_CA, NAMES = "client-ca-file", "requestheader-client-ca-file", "requestheader-allowed-names"


def test_cas_that_are_exchanged_are_believed_side_by_side_until_they_expire() -> None:
    old, new = Authority("old").pem.decode(), Authority("new").pem.decode()
    now = datetime.now(UTC)
    first = published_trust.combined({}, {CA: old, PROXY_CA: old}, now)
    both = published_trust.combined(first, {CA: new, PROXY_CA: new}, now)
    assert both == {CA: old + new, PROXY_CA: old + new}
    # Whoever comes again adds nothing.
    assert published_trust.combined(both, {CA: old, PROXY_CA: new}, now) == both
    later = published_trust.combined(both, {CA: new}, now + timedelta(days=2))
    assert later[CA] == ""


def test_names_are_united_and_what_is_broken_is_replaced() -> None:
    pem = Authority("ca").pem.decode()
    now = datetime.now(UTC)
    published = {CA: "broken", NAMES: '["a","b"]', "other": "kept"}
    found = published_trust.combined(published, {CA: pem, NAMES: '["b","c"]'}, now)
    assert (found[CA], orjson.loads(found[NAMES]), found["other"]) == (pem, ["a", "b", "c"], "kept")
    assert orjson.loads(published_trust.combined({NAMES: "{"}, {NAMES: '["a"]'}, now)[NAMES]) == ["a"]
