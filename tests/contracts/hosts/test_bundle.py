"""The release bundle on a host that has nothing but the machine image: unpacked, intact, and started."""

from collections.abc import Callable

import pytest

from components.hosts.models import Host
from images.bundle import archives, sources
from images.bundle.archives import Bundle

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def bundle(host: Host, run: Callable[..., str]) -> Bundle:
    bundle = archives.bundle(sources.read())
    run(host, "mkdir -p /opt/keelson && tar --extract --zstd --directory=/opt/keelson", bundle.archive)
    return bundle


def test_it_is_one_folder_and_intact(host: Host, bundle: Bundle, run: Callable[..., str]) -> None:
    release = f"/opt/keelson/{bundle.version}"
    assert run(host, "ls /opt/keelson").split() == [bundle.version]
    assert run(host, f"cd {release} && sha256sum --quiet --check files.sha256") == ""
    assert tuple(run(host, f"ls {release}/bin").split()) == bundle.binaries


def test_every_binary_starts_from_the_byte_code_that_came_along(
    host: Host, bundle: Bundle, run: Callable[..., str]
) -> None:
    release = f"/opt/keelson/{bundle.version}"
    for binary in bundle.binaries:
        assert f"usage: {binary}" in run(host, f"{release}/bin/{binary} --help")
    assert run(host, f"find {release} -newer {release}/files.sha256 -type f") == ""


def test_a_host_finds_the_api_definitions_without_the_toolkit(
    host: Host, bundle: Bundle, run: Callable[..., str]
) -> None:
    asked = "from keelson.api import definitions; print(len(definitions.definitions()))"
    prefix = f"import sys; sys.path.insert(0, '/opt/keelson/{bundle.version}/lib')"
    assert int(run(host, f'python{bundle.python} -IS -c "{prefix}; {asked}"')) > 400
