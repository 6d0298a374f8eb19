"""What is said of Helm's release is what its go.mod pins."""

from pathlib import Path

from components.setup import helms

ROOT = Path(__file__).parents[4]


def test_the_version_is_the_one_that_is_pinned() -> None:
    assert f"helm.sh/helm/v3 v{helms.VERSION}\n" in (ROOT / "tools" / "helm" / "go.mod").read_text()
