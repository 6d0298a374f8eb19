"""The kernel's tables of this proxy: whether they are whole, and their removal."""

from __future__ import annotations

import logging

from keelson.component_base import nftables

from .decisions.rulesets import TABLE

log = logging.getLogger(__name__)


async def intact(family: str) -> bool:
    """Whether our table is there with its hooks: another program may have flushed the host's rules."""
    try:
        shown = await nftables.run("list", "chain", family, TABLE, "nat-prerouting")
    except nftables.NftError as error:
        log.debug("%s: %s", family, error)
        return False
    return "jump services" in shown


async def remove(family: str) -> None:
    """Remove the table, if there is one; NftError where the kernel refuses."""
    await nftables.apply(f"add table {family} {TABLE}\ndelete table {family} {TABLE}\n")
