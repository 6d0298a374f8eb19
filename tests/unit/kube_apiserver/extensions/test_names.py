"""Who gets a name within a group, and how a CRD's status tells of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from keelson.api import meta
from keelson.kube_apiserver.extensions import names

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def definition(plural: str, kind: str, group: str = "example.com", **more: Any) -> dict[str, Any]:
    wanted = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List", **more}
    return {"metadata": {"name": f"{plural}.{group}"}, "spec": {"group": group, "names": wanted}}


def settled(found: dict[str, Any], *others: dict[str, Any], now: datetime = NOW) -> dict[str, Any]:
    taken = names.held(others, found["spec"]["group"], besides=meta.name(found))
    return {**found, "status": names.status(found, taken, now)}


def condition(found: dict[str, Any], type_: str) -> tuple[str, str, str]:
    row = meta.condition(found, type_)
    assert row is not None
    return row["status"], row["reason"], row["message"]


def test_free_names_are_accepted_and_established_at_once() -> None:
    found = settled(definition("widgets", "Widget", shortNames=["wd"], categories=["all"]))
    assert found["status"]["acceptedNames"] == found["spec"]["names"]
    assert condition(found, "NamesAccepted") == ("True", "NoConflicts", "no conflicts found")
    assert condition(found, "Established")[:2] == ("True", "InitialNamesAccepted")
    assert names.is_served(found)


def test_a_status_that_is_right_stays_as_it_is() -> None:
    found = settled(definition("widgets", "Widget"))
    assert settled(found, now=NOW + timedelta(hours=1)) == found


def test_a_name_in_use_is_refused_and_the_others_are_told() -> None:
    first = settled(definition("widgets", "Widget", shortNames=["wd"]))
    second = settled(definition("wodgets", "Widget", shortNames=["wd", "wo"]), first)
    assert condition(second, "NamesAccepted") == ("False", "ShortNamesConflict", '"wd" is already in use')
    assert condition(second, "Established") == ("False", "NotAccepted", "not all names are accepted")
    assert second["status"]["acceptedNames"] == {"plural": "wodgets"}
    assert not names.is_served(second)


def test_a_short_name_may_not_be_anothers_plural_but_its_kind_may_be_its_own_singular() -> None:
    first = settled(definition("widgets", "Widget"))
    second = settled(definition("things", "Thing", shortNames=["widgets"]), first)
    assert condition(second, "NamesAccepted")[1] == "ShortNamesConflict"


def test_other_groups_have_names_of_their_own() -> None:
    first = settled(definition("widgets", "Widget"))
    assert names.is_served(settled(definition("widgets", "Widget", group="example.org"), first))


def test_what_is_established_stays_so_when_a_new_name_clashes() -> None:
    first = settled(definition("widgets", "Widget"))
    second = settled(definition("things", "Thing"), first)
    second["spec"]["names"]["shortNames"] = ["widgets"]
    changed = settled(second, first)
    assert condition(changed, "NamesAccepted")[0] == "False"
    assert condition(changed, "Established")[0] == "True"
    assert "shortNames" not in changed["status"]["acceptedNames"]


def test_a_name_becomes_free_when_its_holder_goes() -> None:
    first = settled(definition("widgets", "Widget"))
    second = settled(definition("wodgets", "Widget"), first)
    assert not names.is_served(second)
    assert names.is_served(settled(second))


def test_groups_of_the_community_need_their_approval() -> None:
    found = definition("widgets", "Widget", group="x.k8s.io")
    assert condition(settled(found), names.CONFORMANT)[1] == "MissingAnnotation"
    found["metadata"]["annotations"] = {names.APPROVAL: "https://example.com/pull/1"}
    assert condition(settled(found), names.CONFORMANT)[:2] == ("True", "ApprovedAnnotation")
    found["metadata"]["annotations"] = {names.APPROVAL: "unapproved, an experiment"}
    assert condition(settled(found), names.CONFORMANT)[:2] == ("False", "UnapprovedAnnotation")
    assert meta.condition(settled(definition("widgets", "Widget")), names.CONFORMANT) is None


def test_a_definition_whose_webhook_nobody_could_trust_is_not_served_until_that_is_mended() -> None:
    found = definition("widgets", "Widget")
    # Base64 of what is no certificate.
    client = {"url": "https://example.com", "caBundle": "bm8gY2VydGlmaWNhdGU="}
    webhook = {"strategy": "Webhook", "webhook": {"clientConfig": client}}
    bad = settled({**found, "spec": {**found["spec"], "conversion": webhook}})
    told = ("False", "InvalidCABundle", "The conversion webhook CABundle is invalid")
    assert condition(bad, "Established") == told
    mended = settled({**found, "status": bad["status"]})
    assert names.is_served(mended)
