"""The store that the flags name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from keelson.storage import etcd

if TYPE_CHECKING:
    from .tracing.assemblies import Tracing


def of(options: argparse.Namespace, tracing: Tracing | None) -> etcd.EtcdStore:
    """etcd; calls to it are part of traces where there is tracing."""
    settings = etcd.Settings(
        options.etcd_servers,
        ca_file=options.etcd_cafile,
        certificate_file=options.etcd_certfile,
        key_file=options.etcd_keyfile,
    )
    return etcd.EtcdStore(settings, trace=tracing.etcd_call if tracing is not None else None)
