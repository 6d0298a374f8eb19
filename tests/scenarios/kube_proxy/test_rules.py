"""Replays rules.yaml: what one Service becomes on one node."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.kube_proxy.decisions import rules, service_ports
from keelson.kube_proxy.decisions.rules import Options
from keelson.kube_proxy.decisions.service_ports import NodeView

CASES = yaml.safe_load((Path(__file__).parent / "rules.yaml").read_text(encoding="utf-8"))
NODE = NodeView(name="n1", zone="z1", addresses=("10.9.0.1",))
OPTIONS = Options(local=(("ip", "ip saddr 10.8.0.0/16"),))


def _endpoint(text: str) -> dict[str, Any]:
    address, node, *words = text.split()
    conditions = {"ready": True}
    if "notready" in words:
        conditions = {"ready": False, "serving": False, "terminating": False}
    if "draining" in words:
        conditions = {"ready": False, "serving": True, "terminating": True}
    zones = [{"name": word.removeprefix("zone=")} for word in words if word.startswith("zone=")]
    return {"addresses": [address], "nodeName": node, "conditions": conditions, "hints": {"forZones": zones}}


def _plain(text: str) -> str:
    return re.sub(r"\b(service|external|local|firewall|endpoint|affinity)-[0-9A-F]{8}-", r"\1-", text)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_rules(case: dict[str, Any]) -> None:
    ingress = [{"ip": address} for address in case.get("balancer", [])]
    service = {
        "metadata": {"namespace": "ns", "name": "web", "labels": case.get("labels", {})},
        "spec": case["spec"],
        "status": {"loadBalancer": {"ingress": ingress}},
    }
    slices = [
        {
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [_endpoint(text) for text in case["endpoints"]],
        }
    ]
    elements: list[str] = []
    chains: dict[str, list[str]] = {}
    for port in service_ports.service_ports(service, slices, NODE):
        found = rules.fragment(port, OPTIONS)
        elements += [
            _plain(f"{name}: {key} → {value}" if value else f"{name}: {key}")
            for (name, key), value in found.elements.items()
        ]
        chains |= {_plain(name): [_plain(rule) for rule in body] for name, body in found.chains.items()}
    assert sorted(elements) == case["elements"]
    assert chains == case.get("chains", {})
