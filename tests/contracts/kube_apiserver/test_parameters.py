"""What a query states wrongly is refused before anything is done, in the words that clients know."""

from __future__ import annotations

import pytest

from keelson.api.errors import StatusError
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=x", 400),
        ("limit=", 400),
        ("timeoutSeconds=x", 400),
        ("resourceVersion=x", 400),
        ("continue=abc", 400),
        ("resourceVersionMatch=Exact", 422),
        ("sendInitialEvents=true", 422),
        ("dryRun=x", 422),
    ],
)
async def test_a_collection_is_not_deleted_by_a_query_that_makes_no_sense(
    cluster: Cluster, client: Client, namespace: str, query: str, code: int
) -> None:
    await client.create("configmaps", {"metadata": {"name": "kept", "namespace": namespace}})
    async with (
        cluster.session() as session,
        session.delete(f"/api/v1/namespaces/{namespace}/configmaps?{query}") as answer,
    ):
        assert answer.status == code
        assert (await answer.json())["status"] == "Failure"
    assert await client.get("configmaps", "kept", namespace=namespace)


async def test_a_part_of_a_collection_is_deleted_where_a_limit_says_so(
    cluster: Cluster, client: Client, namespace: str
) -> None:
    for name in ("a", "b", "c"):
        await client.create("configmaps", {"metadata": {"name": name, "namespace": namespace}})
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    async with cluster.session() as session, session.delete(f"{path}?limit=2") as answer:
        deleted = await answer.json()
    assert [item["metadata"]["name"] for item in deleted["items"]] == ["a", "b"]
    assert deleted["metadata"]["remainingItemCount"] == 1
    assert await client.get("configmaps", "c", namespace=namespace)
    with pytest.raises(StatusError, match="not found"):
        await client.get("configmaps", "a", namespace=namespace)


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        # What does not go together is told of before a field that nothing can be selected by.
        ("configmaps?watch=1&fieldSelector=spec.x%3Dy&sendInitialEvents=true", 422, "resourceVersionMatch: Forbidden"),
        # A watch from the present state begins as sendInitialEvents has it.
        ("configmaps?watch=1&continue=x", 422, "resourceVersionMatch is forbidden when continue is provided"),
        ("configmaps?limit=y&timeoutSeconds=x", 400, 'parsing "x"'),
        ("configmaps?continue=abcd%2F", 400, "continue key is not valid: illegal base64 data at input byte 4"),
        ("namespaces?fieldSelector=metadata.namespace%3Dx", 400, "field label not supported: metadata.namespace"),
    ],
)
async def test_options_of_lists_are_refused_in_upstreams_words(
    cluster: Cluster, path: str, code: int, message: str
) -> None:
    async with cluster.session() as session, session.get(f"/api/v1/{path}") as answer:
        assert answer.status == code
        assert message in (await answer.json())["message"]
