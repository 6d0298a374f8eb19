"""The release bundle: Keelson and its locked dependencies for one Python and one architecture, in one archive.

Hosts unpack it beside older releases as /opt/keelson/<version>, with no package registry in reach:

    bin/            one launcher for each entry point of pyproject.toml
    lib/            the packages, byte-compiled
    bundle.json     version, Python, architecture, binaries and the version of every distribution in lib
    files.sha256    the digest of every other file, for `sha256sum --check`
"""
