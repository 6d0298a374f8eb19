"""Authorizers asked in their order, and whose decisions are counted."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from keelson.kube_apiserver.authorization.attempts import Attempts
from keelson.kube_apiserver.authorization.unions import Answer, Configured, Union, Verdict
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving import request_infos
from keelson.kube_apiserver.serving.request_infos import RequestInfo

_ANYBODY = User("somebody", ("system:authenticated",))
_MASTER = User("admin", ("system:masters",))
_INFO = request_infos.of("GET", "/api/v1/namespaces/a/pods/b")


class _Fixed:
    """Always says the same; `later` has to be waited for."""

    def __init__(self, verdict: Verdict, *, later: bool = False) -> None:
        self._verdict = verdict
        self._later = later

    def authorize(self, user: User, info: RequestInfo) -> Answer:
        return self._waited() if self._later else self._verdict

    async def _waited(self) -> Verdict:
        return self._verdict

    def allows_any_name(self, user: User, info: RequestInfo) -> bool:
        return self._verdict.allowed is True


class _Asked:
    def __init__(self, *authorizers: _Fixed) -> None:
        self.attempts = Attempts()
        names = [f"number-{number}" for number in range(len(authorizers))]
        self.union = Union(
            [
                Configured(each, self.attempts.decisions("Webhook", name))
                for name, each in zip(names, authorizers, strict=True)
            ],
            self.attempts,
        )
        self.registry = CollectorRegistry()
        self.registry.register(self.attempts)

    async def decided(self, user: User = _ANYBODY) -> Verdict:
        answer = self.union.authorize(user, _INFO)
        verdict = answer if isinstance(answer, Verdict) else await answer
        self.attempts.note(verdict.allowed, 0.0, failed=verdict.failed)
        return verdict

    def of(self, name: str, /, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


async def test_whoever_decides_is_counted() -> None:
    asked = _Asked(_Fixed(Verdict(None), later=True), _Fixed(Verdict(True)))
    assert (await asked.decided()).allowed
    labels = {"type": "Webhook", "decision": "allowed"}
    assert asked.of("apiserver_authorization_decisions_total", name="number-1", **labels) == 1
    assert asked.of("apiserver_authorization_decisions_total", name="number-0", **labels) is None
    assert asked.of("authorization_attempts_total", result="allowed") == 1


async def test_nobody_decides_on_masters() -> None:
    asked = _Asked(_Fixed(Verdict(False)))
    assert (await asked.decided(_MASTER)).allowed
    granted = asked.union.granting(_MASTER, _INFO)
    assert granted is not None
    granted.repeated += 4
    assert asked.of("authorization_attempts_total", result="allowed") == 5
    labels = {"type": "Webhook", "name": "number-0"}
    assert asked.of("apiserver_authorization_decisions_total", decision="allowed", **labels) is None


async def test_who_could_not_be_asked_makes_an_error_of_no_opinion() -> None:
    failing = _Fixed(Verdict(None, failed=True), later=True)
    asked = _Asked(failing, _Fixed(Verdict(None)))
    assert (await asked.decided()).failed
    assert asked.of("authorization_attempts_total", result="error") == 1
    for allowed, result in ((True, "allowed"), (False, "denied")):
        asked = _Asked(failing, _Fixed(Verdict(allowed)))
        await asked.decided()
        assert asked.of("authorization_attempts_total", result=result) == 1
        assert asked.of("authorization_attempts_total", result="error") is None


def test_what_is_granted_for_any_name_is_its_authorizers_decision() -> None:
    asked = _Asked(_Fixed(Verdict(None)), _Fixed(Verdict(True)))
    granted = asked.union.granting(_ANYBODY, _INFO)
    assert granted is not None
    granted.repeated += 2
    name = "apiserver_authorization_decisions_total"
    assert asked.of(name, type="Webhook", name="number-1", decision="allowed") == 2
    assert asked.of("authorization_attempts_total", result="allowed") == 2
