"""The store's indices follow every change."""

from keelson.client.informers import Store


def _pod(name: str, node: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": {"nodeName": node}}


def test_indices_follow() -> None:
    store = Store()
    store.put(_pod("a", "n1"))
    store.add_index("node", lambda pod: [pod["spec"]["nodeName"]])
    store.put(_pod("b", "n1"))
    store.put(_pod("a", "n2"))
    assert [pod["metadata"]["name"] for pod in store.by_index("node", "n1")] == ["b"]
    assert [pod["metadata"]["name"] for pod in store.by_index("node", "n2")] == ["a"]
    assert store.remove("ns/a") is not None
    assert store.by_index("node", "n2") == []
    assert store.remove("ns/a") is None
    assert store.keys() == ["ns/b"]
