"""Authentications are counted whether their verdict is new or kept."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from keelson.component_base import metrics
from keelson.kube_apiserver.authentication.attempts import ERROR, SUCCESS, Attempts

_NOW = 1_000_000.0
_DAY = 86_400


class _Numbers:
    def __init__(self) -> None:
        self.now = _NOW
        self.attempts = Attempts(lambda: self.now)
        self.registry = CollectorRegistry()
        self.registry.register(self.attempts)

    def of(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def test_kept_verdicts_count_as_attempts_of_their_users() -> None:
    numbers = _Numbers()
    numbers.attempts.note(SUCCESS, 0.01, "somebody@example.com")
    numbers.attempts.note(ERROR, 0.01)
    repeats = numbers.attempts.repeats("admin", 0.0)
    repeats.times += 3
    assert numbers.of("authentication_attempts", result="success") == 4
    assert numbers.of("authentication_attempts", result="error") == 1
    assert numbers.of("authenticated_user_requests", username="admin") == 3
    assert numbers.of("authenticated_user_requests", username="email_id") == 1
    repeats.times += 2
    assert numbers.of("authentication_attempts", result="success") == 6
    assert numbers.of("authentication_duration_seconds_bucket", result="success", le="0.001") == 5
    assert numbers.of("authentication_duration_seconds_count", result="success") == 6


def test_certificates_are_noted_by_what_is_left_of_them_at_each_request() -> None:
    numbers = _Numbers()
    repeats = numbers.attempts.repeats("kubelet", _NOW + 3 * _DAY)
    repeats.times += 2
    name = "apiserver_client_certificate_expiration_seconds"
    assert numbers.of(f"{name}_bucket", le="172800.0") is None
    assert numbers.of(f"{name}_bucket", le="172800") == 0
    assert numbers.of(f"{name}_bucket", le="345600") == 2
    numbers.now += 2 * _DAY + 1
    repeats.times += 1
    assert numbers.of(f"{name}_bucket", le="86400") == 1
    assert numbers.of(f"{name}_count") == 3


def test_who_has_a_certificate_that_ended_is_forgotten() -> None:
    numbers = _Numbers()
    for number in range(1024):
        numbers.attempts.repeats("other", _NOW + 60 * number).times += 1
    numbers.now += _DAY
    numbers.attempts.repeats("other", numbers.now + _DAY)
    assert len(numbers.attempts._repeats) == 1
    # What was counted is not.
    assert numbers.of("authenticated_user_requests", username="other") == 1024


def test_counters_keep_the_names_that_upstream_gave_them() -> None:
    numbers = _Numbers()
    numbers.attempts.note(SUCCESS, 0.0, "admin")
    text = metrics.render(numbers.registry).decode()
    assert "# TYPE authentication_attempts counter\n" in text
    assert '\nauthentication_attempts{result="success"} 1.0\n' in text
