"""Which tokens sign cluster-info, and how; and which controllers --controllers chooses."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from keelson.api.meta import Object
from keelson.kube_controller_manager.contexts import Settings
from keelson.kube_controller_manager.controllers import registry
from keelson.kube_controller_manager.controllers.bootstrap_tokens import expiration_of, signature, signatures

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def token(name: str = "bootstrap-token-joshua", **data: str) -> Object:
    data = {"token_id": "joshua", "token_secret": "my-secret", "usage_bootstrap_signing": "true", **data}
    encoded = {key.replace("_", "-"): base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"metadata": {"name": name, "namespace": "kube-system"}, "data": encoded}


def test_the_signature_is_upstreams() -> None:
    # cluster-bootstrap/token/jws TestComputeDetachedSignature.
    content = "Hello from the other side. I must have called a thousand times."
    header = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9"
    assert (
        signature(content, "joshua", "my voice is my passcode")
        == f"{header}..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
    )
    assert (
        signature("", "joshua", "my voice is my passcode") == f"{header}..7Ui1ALizW4jXphVUB7xUqC9vLYLL9RZeOFfVLoB7Tgk"
    )


@pytest.mark.parametrize(
    ("secret", "signs"),
    [
        (token(), True),
        (token(expiration=(NOW + timedelta(hours=1)).isoformat()), True),
        (token(expiration=NOW.isoformat()), False),
        (token(expiration="soon"), False),
        (token(usage_bootstrap_signing="false"), False),
        (token(token_secret=""), False),
        (token("bootstrap-token-other"), False),
        ({"metadata": {"name": "bootstrap-token-joshua"}, "data": {"token-id": "!"}}, False),
    ],
)
def test_a_token_signs_while_it_may(secret: Object, signs: bool) -> None:
    assert list(signatures("content", [secret], NOW)) == (["jws-kubeconfig-joshua"] if signs else [])


def test_an_expiration_that_nobody_understands_is_past() -> None:
    assert expiration_of(token()) is None
    ends = expiration_of(token(expiration="soon"))
    assert ends is not None
    assert ends < NOW


@pytest.mark.parametrize(
    ("wanted", "name", "runs"),
    [
        (["*"], "token-cleaner-controller", False),
        (["*", "bootstrapsigner", "tokencleaner"], "token-cleaner-controller", True),
        (["*", "bootstrapsigner", "tokencleaner"], "job-controller", True),
        (["*", "-job"], "job-controller", False),
        (["job-controller", "-job-controller"], "job-controller", True),
        (["*", "-attachdetach", "-cloud-node-lifecycle"], "job-controller", True),
        (["cronjob"], "job-controller", False),
    ],
)
def test_controllers_are_chosen_by_today_s_and_by_former_names(wanted: list[str], name: str, runs: bool) -> None:
    assert (name in [found.name for found in registry.chosen(wanted, Settings())]) is runs


@pytest.mark.parametrize("wanted", ["gadget", "-gadget", "attachdetach"])
def test_a_controller_that_is_not_there_can_not_be_asked_for(wanted: str) -> None:
    with pytest.raises(ValueError, match="is not one of"):
        registry.chosen([wanted], Settings())
