"""--runtime-config: what is narrower wins, and what makes no sense is refused."""

from __future__ import annotations

import pytest

from keelson.api import resources
from keelson.kube_apiserver.registry import enablements


def off(config: dict[str, str]) -> set[str]:
    return {f"{each.api_version}/{each.plural}" for each in enablements.disabled(config, resources.BUILT_IN)}


def test_without_a_configuration_everything_is_served() -> None:
    assert off({}) == set()
    assert off({"api/beta": "false", "storage.k8s.io/v1beta1": "true"}) == set()


def test_a_version_is_switched_off_with_all_of_its_resources() -> None:
    assert off({"batch/v1": "false"}) == {"batch/v1/jobs", "batch/v1/cronjobs"}
    assert off({"autoscaling/v1": "false"}) == {"autoscaling/v1/horizontalpodautoscalers"}


def test_what_is_narrower_wins() -> None:
    assert off({"batch/v1": "false", "batch/v1/jobs": "true"}) == {"batch/v1/cronjobs"}
    assert off({"apps/v1/daemonsets": "false"}) == {"apps/v1/daemonsets"}
    left = {f"{each.api_version}/{each.plural}" for each in resources.BUILT_IN} - off(
        {"api/all": "false", "v1": "true"}
    )
    assert left == {f"v1/{each.plural}" for each in resources.BUILT_IN if not each.group}
    assert off({"api/all": "false", "api/ga": "true"}) == set()


@pytest.mark.parametrize(
    "config",
    [
        {"api/all": "false"},
        {"api/ga": "maybe"},
        {"batch/v1": "maybe"},
        {"batch": "false"},
        {"batch/v9": "false"},
        {"example.com/v1": "true"},
        {"apps/v1/Deployments": "false"},
    ],
    ids=str,
)
def test_nonsense_is_refused(config: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        enablements.disabled(config, resources.BUILT_IN)
