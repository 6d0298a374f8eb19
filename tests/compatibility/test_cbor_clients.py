"""CBOR beyond our own tests (KEP-4222): client-go's, by way of kubectl, and what upstream's server stored in it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from keelson.api import cbor
from tests.compatibility.wires import Wire
from tests.compatibility.workloads import eventually
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.definitions import things

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

_GATE = "--feature-gates=CBORServingAndStorage=true"
_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: spoken, namespace: default}\ndata: {a: b}\n"
_DEFINITION = things("wire.example.org")


def _serves(wire: Wire, path: str) -> bool:
    return wire.request("GET", path)[0] == 200


def test_kubectl_speaks_it(tmp_path: Path, upstream: Callable[[str], Path]) -> None:
    manifest = tmp_path / "map.yaml"
    manifest.write_text(_MAP, encoding="utf-8")
    gates = {"KUBE_FEATURE_ClientsAllowCBOR": "true", "KUBE_FEATURE_ClientsPreferCBOR": "true"}
    with Cluster(tmp_path / "cluster", [_GATE]) as cluster:

        def kubectl(*arguments: str) -> str:
            done = subprocess.run(
                [upstream("kubectl"), f"--kubeconfig={cluster.folder / 'admin.conf'}", *arguments],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                env={**os.environ, **gates, "HOME": str(tmp_path)},
            )
            assert not done.returncode, done.stderr
            return done.stdout + done.stderr

        assert "created" in kubectl("create", "-f", str(manifest))
        told = kubectl("wait", "-v=9", "--for=jsonpath={.data.a}=b", "configmap/spoken")
        assert "condition met" in told
        assert "application/cbor" in told, "kubectl did not ask for CBOR"
        told = kubectl("delete", "-v=9", "--wait", "-f", str(manifest))
        assert "deleted" in told
        assert "application/cbor" in told


def test_what_upstream_stored_in_it_is_read(tmp_path: Path, upstream: Callable[[str], Path]) -> None:
    program = upstream("kube-apiserver")
    things = "/apis/wire.example.org/v1/namespaces/default/things"
    thing = {
        "apiVersion": "wire.example.org/v1",
        "kind": "Thing",
        "metadata": {"name": "t"},
        "spec": {"f": 1.5, "i": -7, "l": [1, {"a": True}], "s": "\u00fc", "n": None},
    }
    with Cluster(tmp_path / "ours") as ours:
        stores = [ours.etcd.endpoint]
        with Cluster(tmp_path / "theirs", [_GATE], program=program, stores=stores, keys=ours.keys) as theirs:
            writer, reader = Wire(theirs), Wire(ours)
            writer.done("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _DEFINITION)
            for wire in (writer, reader):
                eventually("things are served", partial(_serves, wire, things))
            written = writer.done("POST", things, thing)
            raw = asyncio.run(ours.stored("/registry/wire.example.org/things/default/t"))
            assert raw.startswith(cbor.PREFIX)
            assert reader.done("GET", f"{things}/t") == written
            changed = reader.done("PUT", f"{things}/t", {**written, "spec": {"f": 2.5}})
            assert writer.done("GET", f"{things}/t")["spec"] == changed["spec"] == {"f": 2.5}
