"""The same requests to our server and to upstream's, on one etcd: the answers must say the same.

What differs on purpose is not asked here: upstream refuses `application/*` and `*`, answers a malformed resourceVersion
of a GET with 500, tells of JSON's errors in the words of Go's parser, and has no column for the age of an IPAddress
that it shows.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.api.resources import Resource
from keelson.kube_apiserver.encodings import protobuf
from tests.compatibility.wires import Answer, ask, collection_path, stored
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

MAPS = "/api/v1/namespaces/default/configmaps"
_JSON, _YAML, _PROTOBUF = "application/json", "application/yaml", protobuf.MEDIA_TYPE
# Texts of our own, and what is another thing each time that it is written.
_FREE = frozenset({"uid", "creationTimestamp", "resourceVersion", "time", "continue"})


class Asker:
    """An administrator's requests to one server."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
        certificate, key = cluster.authority.issue("asker", ["system:masters"])
        self._context.load_cert_chain(cluster.write("asker.crt", certificate), cluster.write("asker.key", key))

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None) -> Answer:
        """Send one request with these headers and no others."""
        sent = {"Content-Type": _JSON} if body is not None else {}
        lines = (sent | (headers or {})).items()
        return ask(self._cluster, self._context, method, path, lines, body, read=_value)


def _value(raw: bytes) -> Any:
    """A body as a value in which nothing is left that may differ; whether it was indented is a part of it."""
    if raw.startswith(protobuf.MAGIC):
        return _stripped(protobuf.decode(raw))
    if raw.startswith(b"{"):
        return raw.startswith(b"{\n"), _stripped(json.loads(raw))
    return _stripped(yaml.safe_load(raw))


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        column = "priority" in value
        return {
            key: _stripped(each)
            for key, each in value.items()
            if key not in _FREE and not (column and key == "description")
        }
    if isinstance(value, list):
        return [_stripped(each) for each in value]
    return re.sub(r"^\d+[smh](\d+s)?$", "AGE", value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def askers(tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]) -> Iterator[tuple[Asker, Asker]]:
    """(ours, upstream's), with two ConfigMaps."""
    folder = tmp_path_factory.mktemp("answers")
    with Cluster(folder / "ours") as ours:
        program = upstream("kube-apiserver")
        stores = [ours.etcd.endpoint]
        with Cluster(folder / "theirs", program=program, stores=stores, keys=ours.keys) as theirs:
            found = Asker(ours), Asker(theirs)
            for name in ("one", "two"):
                made = {"metadata": {"name": name, "labels": {"a": "b"}}, "data": {"k": "v"}}
                assert found[0].ask("POST", MAPS, None, made).status == 201
            yield found


_QUERIES = [
    *(f"limit={value}" for value in ("x", "", "1.5", "99999999999999999999", "-1", "1")),
    *(f"resourceVersion={value}" for value in ("x", "-1", "1x", "99999999999999999999999")),
    *("timeoutSeconds=x", "sendInitialEvents=true", "sendInitialEvents=x", "allowWatchBookmarks=x"),
    *("resourceVersionMatch=Exact", "resourceVersionMatch=x&resourceVersion=1", "timeout=-1s"),
    *("resourceVersionMatch=Exact&resourceVersion=0", "resourceVersionMatch=NotOlderThan&resourceVersion=1&continue=a"),
    "continue=eyJ2IjoidjIifQ",
    "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJhIn0",
    "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIifQ",
    "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIuLi9hIn0",
    *(
        f"labelSelector={value}"
        for value in ("a==", "a=b=c", "a+in+(b", "!a,", ",", "a>b", "-a", "a/b/c", "a+in+()", "a=-x", "(", "a" * 70)
    ),
    *(f"fieldSelector={value}" for value in ("a", "a=b", "metadata.name=one", "metadata.name%3Da%5C%2Cb")),
]


@pytest.mark.parametrize("query", _QUERIES)
def test_lists_and_deletions_of_collections(askers: tuple[Asker, Asker], query: str) -> None:
    for method, path in (("GET", f"{MAPS}?{query}"), ("DELETE", f"{MAPS}?dryRun=All&{query}")):
        ours, theirs = (each.ask(method, path) for each in askers)
        assert ours == theirs


@pytest.mark.parametrize(
    "query",
    [
        "sendInitialEvents=x",
        "sendInitialEvents=false",
        "sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=5",
        "resourceVersionMatch=NotOlderThan",
        "resourceVersionMatch=Exact&resourceVersion=1",
        "limit=x",
        "fieldSelector=a",
        "labelSelector=(",
    ],
)
def test_refusals_of_watches(askers: tuple[Asker, Asker], query: str) -> None:
    ours, theirs = (each.ask("GET", f"{MAPS}?watch=yes&{query}") for each in askers)
    assert ours == theirs


@pytest.mark.parametrize("accept", [_YAML, f"{_YAML},{_JSON}", f"{_YAML};q=0.9", "text/html"])
def test_forms_that_no_watch_has(askers: tuple[Asker, Asker], accept: str) -> None:
    ours, theirs = (each.ask("GET", f"{MAPS}?watch=1", {"Accept": accept}) for each in askers)
    assert ours == theirs or str(ours) == str(theirs).replace("'details': {}, ", "")


@pytest.mark.parametrize(
    "query",
    [
        *("dryRun=x", "dryRun=", "dryRun=All&dryRun=x", "fieldManager=" + "x" * 200, "fieldManager=%C3%A9%01"),
        *("fieldValidation=x", "dryRun=x&fieldValidation=y&fieldManager=%01", "force=x", "propagationPolicy=x"),
        *("gracePeriodSeconds=x", "gracePeriodSeconds=", "orphanDependents=true&propagationPolicy=Orphan"),
    ],
)
@pytest.mark.parametrize(
    ("method", "media_type"),
    [
        ("POST", _JSON),
        ("PUT", _JSON),
        ("PATCH", "application/merge-patch+json"),
        ("PATCH", "application/apply-patch+yaml"),
        ("DELETE", ""),
    ],
)
def test_options_of_writes(askers: tuple[Asker, Asker], method: str, media_type: str, query: str) -> None:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"k": "w"}}
    path = MAPS if method == "POST" else f"{MAPS}/one"
    dry = query if "dryRun" in query else f"dryRun=All&{query}"
    headers = {"Content-Type": media_type} if media_type else {}
    ours, theirs = (each.ask(method, f"{path}?{dry}", headers, made if media_type else None) for each in askers)
    assert ours == theirs


_TABLE, _METADATA = "as=Table;g=meta.k8s.io", "as=PartialObjectMetadata;g=meta.k8s.io"
_METADATA_LIST = "as=PartialObjectMetadataList;g=meta.k8s.io"


@pytest.mark.parametrize("path", [MAPS, f"{MAPS}/one", f"{MAPS}/none"])
@pytest.mark.parametrize(
    "accept",
    [
        *("*/*", "application/xml, */*;q=0.1", f"{_JSON};q=0.5,{_YAML}", f"{_YAML};q=0.1,*/*;q=0.2", _YAML, _PROTOBUF),
        *("text/*", "text/html", "json", f"{_JSON};sv=1", f"{_JSON};stream=foo", f"{_JSON};foo=bar"),
        *(f"{_JSON};pretty=1", f"{_JSON};{_TABLE};v=v1", f"{_JSON};{_TABLE};v=v1beta1", f"{_YAML};{_TABLE};v=v1"),
        *(f"{_JSON};{_TABLE};v=v2", f"{_JSON};as=Table", f"{_PROTOBUF};{_TABLE};v=v1", f"{_JSON};as=Foo;v=v1"),
        *(f"{_JSON};{_METADATA};v=v1", f"{_JSON};{_METADATA};v=v1beta1", f"{_PROTOBUF};{_METADATA};v=v1"),
        *(f"{_JSON};{_METADATA_LIST};v=v1", f"{_PROTOBUF};{_METADATA_LIST};v=v1", "application/cbor"),
    ],
)
def test_forms(askers: tuple[Asker, Asker], path: str, accept: str) -> None:
    ours, theirs = (each.ask("GET", path, {"Accept": accept}) for each in askers)
    # Upstream's router writes empty details where it refuses by itself.
    assert ours == theirs or str(ours) == str(theirs).replace("'details': {}, ", "")


@pytest.mark.parametrize("query", ["", "pretty=true", "pretty=false", "pretty", "pretty=x", "pretty=t"])
@pytest.mark.parametrize("agent", ["curl/8", "Wget/1", "Mozilla/5.0 (X)", "kubectl/v1"])
@pytest.mark.parametrize("path", [MAPS, f"{MAPS}/one", f"{MAPS}/none", "/apis/apps/v1"])
def test_json_for_people(askers: tuple[Asker, Asker], path: str, agent: str, query: str) -> None:
    ours, theirs = (each.ask("GET", f"{path}?{query}", {"User-Agent": agent}) for each in askers)
    assert isinstance(ours.body, tuple)
    assert isinstance(theirs.body, tuple)
    # Whether there are line breaks; what discovery says of each resource is another test's.
    assert ours.body[0] == theirs.body[0]
    assert "apps" in path or ours == theirs


@pytest.mark.parametrize("resource", stored(), ids=lambda each: f"{each.api_version}/{each.plural}")
def test_tables_of_every_kind(askers: tuple[Asker, Asker], resource: Resource) -> None:
    headers = {"Accept": f"{_JSON};{_TABLE};v=v1"}
    ours, theirs = (each.ask("GET", f"{collection_path(resource)}?resourceVersion=0", headers) for each in askers)
    assert ours.status == theirs.status == 200
    columns, rows = (
        [value.body[1].get(name) or [] for value in (ours, theirs)] for name in ("columnDefinitions", "rows")
    )
    assert columns[0] == columns[1] or resource.plural == "ipaddresses"
    assert [each["cells"] for each in rows[0]] == [each["cells"] for each in rows[1]]
