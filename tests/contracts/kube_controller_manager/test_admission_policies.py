"""The types in policies' expressions, checked by the controller against the real API server."""

from __future__ import annotations

from typing import Any

from keelson.client.rest import Client
from keelson.kube_controller_manager.controllers.validating_admission_policy_status import (
    ValidatingAdmissionPolicyStatusController,
)
from tests.contracts.conftest import Eventually

from .conftest import Controlling

_POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"


async def test_a_policys_author_is_told_of_types_that_do_not_fit(
    client: Client, controlling: Controlling, eventually: Eventually
) -> None:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE"]}

    def policy(name: str, expression: str) -> dict[str, Any]:
        spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}]}
        return {"metadata": {"name": name}, "spec": spec}

    async def checked(name: str) -> Any:
        return ((await client.get(_POLICIES, name)).get("status") or {}).get("typeChecking")

    async with controlling(ValidatingAdmissionPolicyStatusController):
        await client.create(_POLICIES, policy("fits", "object.spec.replicas > 1"))
        await client.create(_POLICIES, policy("confused", "object.spec.replicas > '1'"))
        await eventually(lambda: _is_not_none(checked("fits")))
        await eventually(lambda: _is_not_none(checked("confused")))
        assert not (await checked("fits")).get("expressionWarnings")
        (warning,) = (await checked("confused"))["expressionWarnings"]
        assert warning["fieldRef"] == "spec.validations[0].expression"
        assert "found no matching overload for '_>_' applied to '(int, string)'" in warning["warning"]
        # Each generation is looked at anew.
        mended = await client.get(_POLICIES, "confused")
        mended["spec"]["validations"][0]["expression"] = "object.spec.replicas > 2"
        await client.update(_POLICIES, mended)

        async def is_mended() -> bool:
            return not (await checked("confused")).get("expressionWarnings")

        await eventually(is_mended)


async def _is_not_none(found: Any) -> bool:
    return await found is not None
