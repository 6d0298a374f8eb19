"""Health endpoints: all checks, one, some left out, and no reasons for strangers."""

from keelson.component_base.health import Checks


def _checks() -> Checks:
    checks = Checks()
    checks.add("good", lambda: None)

    async def bad() -> str:
        return "10.0.0.1 refused"

    checks.add("bad", bad)
    return checks


async def test_a_failing_check_fails_the_endpoint_and_hides_its_reason() -> None:
    status, text = await _checks().report("readyz")
    assert status == 500
    assert "[+]good ok" in text
    assert "[-]bad failed" in text
    assert "10.0.0.1" not in text


async def test_excluded_and_single_checks() -> None:
    assert await _checks().report("readyz", excluded=frozenset({"bad"})) == (200, "ok")
    assert await _checks().report("readyz", only="good", verbose=True) == (200, "ok")
    assert await _checks().report("readyz", only="bad") == (500, "internal server error: 10.0.0.1 refused\n")
    assert await _checks().report("readyz", only="none") == (404, "404 page not found\n")


async def test_a_verbose_report_has_a_line_a_check_in_their_order() -> None:
    status, text = await _checks().report("livez", excluded=frozenset({"bad", "b", "a"}), verbose=True)
    assert status == 200
    assert text.splitlines() == [
        "[+]ping ok",
        "[+]good ok",
        "[+]bad excluded: ok",
        'warn: some health checks cannot be excluded: no matches for "a","b"',
        "livez check passed",
    ]


async def test_failures_tell_reasons() -> None:
    assert await _checks().failures() == {"bad": "10.0.0.1 refused"}
