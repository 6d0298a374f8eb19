"""What a write of a Service takes and gives back: families, cluster addresses, node ports.

Runs inside the road of every write (`registry.objects.Hooks`): `prepare` fills in and takes, `abandon` gives back what
a write that failed had taken, `stored` and `deleted` give back what the Service no longer has.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.registry.contexts import Context
from keelson.kube_apiserver.services import addresses as address_module
from keelson.kube_apiserver.services import metrics
from keelson.kube_apiserver.services import ports as port_module
from keelson.kube_apiserver.services.addresses import Addresses
from keelson.kube_apiserver.services.ports import Ports

NONE = "None"
_WITH_PORTS = ("NodePort", "LoadBalancer")


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def cluster_addresses(service: Object | None) -> list[str]:
    """The addresses that a Service holds."""
    spec = (service or {}).get("spec") or {}
    if spec.get("type") == "ExternalName":
        return []
    found = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [address for address in found if address and address != NONE]


def node_ports(service: Object | None) -> list[int]:
    """The node ports that a Service holds."""
    spec = (service or {}).get("spec") or {}
    if spec.get("type") not in _WITH_PORTS:
        return []
    found = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        found.append(spec["healthCheckNodePort"])
    return list(dict.fromkeys(found))


def _invalid(service: Object, field: str, message: str, *, reason: str = "FieldValueInvalid") -> errors.StatusError:
    return errors.invalid("Service", meta.name(service), [errors.cause(field, reason, message)])


class Allocation:
    """The hooks of Services. The first range is that of the cluster's primary family."""

    def __init__(self, ranges: Sequence[Addresses], ports: Ports) -> None:
        self._ranges = {f"IPv{each.network.version}": each for each in ranges}
        self._families = list(self._ranges)
        self._ports = ports

    # --- hooks

    async def prepare(self, context: Context, service: Object, old: Object | None) -> None:
        """Fill in what the server gives. Raises StatusError 422 and 500, having taken nothing."""
        spec = service.setdefault("spec", {})
        if old is not None:
            self._keep(spec, old.get("spec") or {})
        taken: list[Any] = []
        context.taken = taken
        try:
            if spec.get("type") == "ExternalName":
                for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                    spec.pop(field, None)
            else:
                await self._addresses(context, service, old, taken)
            await self._node_ports(context, service, old, taken)
        except errors.StatusError:
            await self._give_back(context, taken)
            raise

    async def abandon(self, context: Context, _service: Object, _old: Object | None) -> None:
        """Give back what `prepare` took for a write that did not happen."""
        await self._give_back(context, context.taken)

    async def stored(self, context: Context, service: Object, old: Object | None) -> None:
        """Give back what the Service had before and has no longer."""
        if context.dry_run:
            return
        have = {*cluster_addresses(service)}
        for address in cluster_addresses(old):
            if address not in have:
                await self._release_address(context, address)
        kept = {*node_ports(service)}
        for port in node_ports(old):
            if port not in kept:
                await self._ports.release(port)

    async def deleted(self, context: Context, service: Object, _old: Object | None) -> None:
        """Give back everything."""
        await self.stored(context, {}, service)

    async def _give_back(self, context: Context, taken: list[Any]) -> None:
        while taken:
            thing = taken.pop()
            if isinstance(thing, int):
                await self._ports.release(thing)
            else:
                await self._release_address(context, thing)

    async def _release_address(self, context: Context, address: str) -> None:
        found = self._ranges.get(_family(address))
        if found is not None:
            await found.release(context, str(ipaddress.ip_address(address)))

    # --- addresses

    def _keep(self, spec: Object, before: Object) -> None:
        """An update that does not mention what was given keeps it (upstream's patchAllocatedValues)."""
        external = "ExternalName" in (spec.get("type"), before.get("type"))
        if not external and not spec.get("clusterIP") and not spec.get("clusterIPs"):
            for field in ("clusterIP", "clusterIPs"):
                if before.get(field):
                    spec[field] = before[field]
        if spec.get("type") in _WITH_PORTS and before.get("type") in _WITH_PORTS:
            given = {
                (port.get("protocol"), port.get("port")): port.get("nodePort")
                for port in before.get("ports") or ()
                if port.get("nodePort")
            }
            used = {port.get("nodePort") for port in spec.get("ports") or ()}
            for port in spec.get("ports") or ():
                known = given.get((port.get("protocol"), port.get("port")))
                if not port.get("nodePort") and known and known not in used:
                    port["nodePort"] = known
            if before.get("healthCheckNodePort") and _wants_health_port(spec) and not spec.get("healthCheckNodePort"):
                spec["healthCheckNodePort"] = before["healthCheckNodePort"]

    def _choose_families(self, service: Object, old: Object | None) -> list[str]:
        spec = service["spec"]
        stated = list(spec.get("ipFamilies") or [])
        given = [_family(address) for address in spec.get("clusterIPs") or () if address != NONE]
        if not given and spec.get("clusterIP") not in (None, "", NONE):
            given = [_family(spec["clusterIP"])]
        policy = spec.get("ipFamilyPolicy")
        if policy is None:
            # The addresses behind a name without a selector are anybody's, whatever the cluster's families are.
            both = len(stated) == 2 or len(given) == 2 or _is_headless_without_selector(spec)
            policy = "RequireDualStack" if both else "SingleStack"
            spec["ipFamilyPolicy"] = policy
        families = stated or given
        if not families and old is not None:
            families = list((old.get("spec") or {}).get("ipFamilies") or [])
        for index, family in enumerate(families):
            if family not in self._ranges and not _is_headless_without_selector(spec):
                raise _invalid(
                    service, f"spec.ipFamilies[{index}]", f'Invalid value: "{family}": not configured on this cluster'
                )
        if not families:
            families = [self._families[0]]
        if policy == "SingleStack":
            return families[:1]
        others = [family for family in ("IPv4", "IPv6") if family not in families]
        if policy == "RequireDualStack" and len(self._ranges) < 2 and not _is_headless_without_selector(spec):
            raise _invalid(
                service,
                "spec.ipFamilyPolicy",
                'Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
            )
        return families + [family for family in others if family in self._ranges or _is_headless_without_selector(spec)]

    async def _addresses(self, context: Context, service: Object, old: Object | None, taken: list[Any]) -> None:
        spec = service["spec"]
        families = self._choose_families(service, old)
        spec["ipFamilies"] = families
        if spec.get("clusterIP") == NONE or (spec.get("clusterIPs") or [""])[0] == NONE:
            spec["clusterIP"], spec["clusterIPs"] = NONE, [NONE]
            return
        wanted = list(spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else []))
        if spec.get("clusterIP") and wanted and spec["clusterIP"] != wanted[0]:
            if old is not None and wanted == ((old.get("spec") or {}).get("clusterIPs") or []):
                # A client that knows only the singular field changed it.
                wanted = [spec["clusterIP"]]
            else:
                raise _invalid(
                    service, "spec.clusterIPs", f"Invalid value: {wanted}: first value must match `clusterIP`"
                )
        held = cluster_addresses(old)
        by_family = {_family(address): address for address in wanted[: len(families)]}
        namespace, name = meta.namespace(service), meta.name(service)
        chosen: list[str] = []
        for family in families:
            address = by_family.get(family)
            if address is None:
                address = await self._take_any(context, service, family, namespace, name)
                taken.append(address)
            elif address not in held:
                await self._take(context, service, address, namespace, name)
                taken.append(address)
            chosen.append(address)
        spec["clusterIP"], spec["clusterIPs"] = chosen[0], chosen

    async def _take_any(self, context: Context, service: Object, family: str, namespace: str, name: str) -> str:
        found = self._ranges[family]
        try:
            return str(await found.take_any(context, namespace, name))
        except address_module.FullError as error:
            raise errors.internal(f"failed to allocate a serviceIP: range is full: {error}") from error

    async def _take(self, context: Context, service: Object, address: str, namespace: str, name: str) -> None:
        field = "spec.clusterIPs"
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError as error:
            raise _invalid(service, field, f'Invalid value: "{address}": must be a valid IP address') from error
        found = self._ranges.get(_family(address))
        network = None
        if found is not None:
            network = next((each for each in await found.networks() if parsed in each), None)
        if found is None or network is None:
            known = ", ".join([str(network) for each in self._ranges.values() for network in await each.networks()])
            message = f"failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. "
            raise _invalid(service, field, f"Invalid value: {[address]}: {message}The range of valid IPs is {known}")
        try:
            with metrics.taking_address(str(network), metrics.STATIC):
                await found.take(context, parsed, namespace, name)
        except address_module.TakenError as error:
            message = f"Invalid value: {[address]}: failed to allocate IP {address}: provided IP is already allocated"
            raise _invalid(service, field, message) from error

    # --- ports

    async def _node_ports(self, context: Context, service: Object, old: Object | None, taken: list[Any]) -> None:
        spec = service["spec"]
        if spec.get("type") not in _WITH_PORTS:
            for port in spec.get("ports") or ():
                # What a NodePort Service had is dropped when it becomes another type; asking for one is an error.
                if port.get("nodePort") and port["nodePort"] in node_ports(old):
                    port.pop("nodePort")
            spec.pop("healthCheckNodePort", None)
            return
        held = {*node_ports(old)}
        if spec.get("type") == "NodePort" or spec.get("allocateLoadBalancerNodePorts") is not False:
            # One number may serve one port in several protocols.
            numbers: dict[int, int] = {}
            for index, port in enumerate(spec.get("ports") or ()):
                wanted = port.get("nodePort") or numbers.get(port.get("port") or 0) or 0
                if wanted and wanted not in held and wanted not in numbers.values():
                    await self._take_port(context, service, f"spec.ports[{index}].nodePort", wanted, taken)
                elif not wanted:
                    wanted = await self._take_any_port(context, taken)
                port["nodePort"] = wanted
                numbers.setdefault(port.get("port") or 0, wanted)
        if not _wants_health_port(spec):
            spec.pop("healthCheckNodePort", None)
        elif not spec.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = await self._take_any_port(context, taken)
        elif spec["healthCheckNodePort"] not in held:
            await self._take_port(context, service, "spec.healthCheckNodePort", spec["healthCheckNodePort"], taken)

    async def _take_any_port(self, context: Context, taken: list[Any]) -> int:
        try:
            with metrics.taking_port(metrics.DYNAMIC):
                port = await self._ports.take_any()
        except port_module.FullError as error:
            raise errors.internal(f"failed to allocate a nodePort: {error}") from error
        taken.append(port)
        return port

    async def _take_port(self, context: Context, service: Object, field: str, port: int, taken: list[Any]) -> None:
        try:
            with metrics.taking_port(metrics.STATIC):
                await self._ports.take(port)
        except port_module.TakenError as error:
            why = "provided port is already allocated"
            if error.outside:
                why = f"provided port is not in the valid range. The range of valid ports is {self._ports.first}-"
                why += str(self._ports.last)
            raise _invalid(service, field, f"Invalid value: {port}: {why}") from error
        taken.append(port)


def _wants_health_port(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _is_headless_without_selector(spec: Object) -> bool:
    return spec.get("clusterIP") == NONE and not spec.get("selector")
