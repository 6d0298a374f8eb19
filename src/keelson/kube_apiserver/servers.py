"""The server put together: store, feed, catalogue, chain, listener; and its life from start to drain."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client.registry import Collector

from keelson.api import errors, resources
from keelson.component_base import metrics
from keelson.component_base.configurations import ConfigurationError
from keelson.component_base.daemons import FatalError
from keelson.component_base.health import Checks
from keelson.storage import transformers
from keelson.storage.errors import StorageError
from keelson.storage.stores import Store
from keelson.storage.transformers import Encryption, Identity, Transformer

from . import starts, versions
from .admission import plugins
from .admission.chains import Chain as Admission
from .admission.configurations import Configurations
from .admission.dynamic import Dynamic
from .admission.lookups import Lookups
from .aggregation.availability import Availability
from .aggregation.discoveries import Discoveries
from .aggregation.openapis import OpenApis
from .aggregation.registrations import Registrations
from .aggregation.remotes import Transports
from .aggregation.routes import Routes
from .aggregation.services import Services
from .audit import auditors
from .authentication import openid
from .authentication.assemblies import Assembly as Authentication
from .authentication.evidence import Evidence
from .authentication.tokens import Issuer
from .authorization.assemblies import POLICY
from .authorization.assemblies import Assembly as Authorization
from .authorization.reviews import Reviews
from .bootstrap import instances
from .bootstrap.instances import Instance
from .bootstrap.reconcilers import Reconciler
from .cache_metrics import Metrics as CacheMetrics
from .caches.feeds import Feed
from .chains import Chain, Limits, status_response
from .compaction import Compactor
from .discovery import Discovery
from .extensions.definitions import Definitions
from .extensions.upkeep import Upkeep
from .flow_control.flows import Flows
from .flow_control.gauges import Gauges
from .flow_control.upkeep import Upkeep as FlowUpkeep
from .handlers import CUSTOM_SCALE, Handlers
from .openapi_documents import OpenApi
from .options import CBOR_GATE, features, is_on
from .paths import Paths, health
from .peers.places import Places
from .peers.proxies import Peers
from .proxies import resources as proxied_resources
from .proxies.kubelets import Kubelets
from .proxies.logs import Logs
from .proxies.streams import Streams
from .quick_reads import Reads
from .registry import enablements
from .registry.catalogues import Catalogue
from .registry.deletions import Deletions
from .registry.listing import Lists
from .registry.objects import Objects
from .registry.patching import Patches
from .registry.watching import Watches
from .reloads import Reloads
from .request_metrics import Meters
from .services.addresses import Addresses
from .services.allocation import Allocation
from .services.metrics import Metrics as RangeMetrics
from .services.ports import Ports
from .services.resolvers import Place, Resolver
from .serving.listeners import Listener
from .serving.negotiation import offer_cbor
from .serving.request_infos import RequestInfo
from .starts import Steps
from .store_metrics import Measured
from .store_metrics import Metrics as StoreMetrics
from .subresources.bindings import Bindings
from .subresources.evictions import Evictions
from .subresources.scales import Scales
from .subresources.token_requests import TokenRequests
from .trust import Trust
from .webhooks.clients import Clients
from .zpages import Pages

if TYPE_CHECKING:
    from .tracing.assemblies import Tracing

log = logging.getLogger(__name__)

_STORE_SECONDS = 2.0
# A store that hangs must not keep the server from leaving; what is in it expires.
_WITHDRAWAL_SECONDS = 3.0
# How long connections have to end once no request is answered on them any more.
_CLOSING_SECONDS = 10.0
_RETRY_SECONDS = 1.0


class Server:
    """One API server. `serve` runs it; `port` is what it is bound to."""

    def __init__(
        self,
        options: argparse.Namespace,
        store: Store,
        transformer: Transformer | None = None,
        *,
        tracing: Tracing | None = None,
    ) -> None:
        self.options = options
        self.store = store = Measured(store)
        root = f"{options.etcd_prefix}/"
        self.feed = Feed(store, root)
        self.catalogue = Catalogue(self.feed, transformer or Identity(), root)
        self.catalogue.withhold(enablements.disabled(options.runtime_config, resources.BUILT_IN))
        self.store.resource_of, self.store.is_stored = self.catalogue.resource_of, self.catalogue.is_stored
        self.encryption: Encryption | None = None
        if options.encryption_provider_config and transformer is None:
            # Which rule holds for a key is known to the catalogue, and how a value is read to the transformer.
            try:
                self.encryption = transformers.load(options.encryption_provider_config, self.catalogue.resource_of)
            except ConfigurationError as error:
                raise FatalError(f"argument --encryption-provider-config: {error}") from error
            for service in self.encryption.services:
                service.poll()
            self.catalogue.transformer = self.encryption
        self.admission = Admission(time.perf_counter)
        self.objects = Objects(store, self.feed, self.catalogue, self.admission)
        self.objects.event_ttl = int(options.event_ttl)
        self.resolver = Resolver(self.catalogue, self.objects, by_endpoints=options.enable_aggregator_routing)
        self.webhook_clients = Clients(self.resolver)
        self.lists = Lists(self.objects, self.feed, store, self.catalogue)
        self.watches = Watches(self.objects, self.lists, self.feed, least_timeout=options.min_request_timeout)
        self.deletions = Deletions(self.objects)
        self.patches = Patches(self.objects)
        if is_on(options, CBOR_GATE):
            offer_cbor()
        self.service_networks = [ipaddress.ip_network(text) for text in options.service_cluster_ip_range.split(",")]
        self._allocate_for_services(root)
        self.handlers = Handlers(self.catalogue, self.objects, self.lists, self.watches, self.deletions, self.patches)
        self.definitions = Definitions(self.catalogue, self.objects, self.feed, self.webhook_clients, root)
        self.upkeep = Upkeep(self.catalogue, self.objects, self.deletions, self.definitions)
        self.handlers.missing = self.definitions.missing
        self.authorization = Authorization(options, lambda name: self.catalogue.collection(self.catalogue.named(name)))
        self.authorizer, self.rbac = self.authorization.union, self.authorization.rbac
        evidence = Evidence(self.catalogue, self.objects)
        self.authentication = Authentication(options, evidence.lookup, evidence.find, evidence.mark_used)
        self.reloads = Reloads(instances.identity_of(instances.advertised(options), options.secure_port))
        self.trust = Trust(options)
        self.trust.follow(self.reloads, self._trust_changed)
        if options.authentication_config:
            path = options.authentication_config
            self.reloads.add("JWT authenticators", [path], self.authentication.reload, kind="authentication")
        if self.encryption is not None and options.encryption_provider_config_automatic_reload:
            path = options.encryption_provider_config
            self.reloads.add("encryption providers", [path], self._reload_encryption, kind="encryption")
        if options.authorization_config:
            path = options.authorization_config
            self.reloads.add("authorizers", [path], self._reload_authorizers, kind="authorization")
        self.tokens = self.authentication.tokens
        lookups = Lookups(self.catalogue, self.objects)
        enabled, disabled = options.enable_admission_plugins, options.disable_admission_plugins
        try:
            configurations = Configurations.load(options.admission_control_config_file)
            self.dynamic_admission = Dynamic(
                self.catalogue,
                self.objects,
                lookups,
                self.authorizer,
                self.webhook_clients,
                disabled=disabled,
                configurations=configurations,
            )
            means = plugins.Means(lookups, self.authorizer, self.rbac, configurations)
            self.admission.use(plugins.chosen(means, enabled, disabled, self.dynamic_admission))
        except ConfigurationError as error:
            raise FatalError(f"argument --admission-control-config-file: {error}") from error
        self.livez, self.readyz = Checks(), Checks()
        reading, mutating = options.max_requests_inflight, options.max_mutating_requests_inflight
        self.flows: Flows | None = None
        if options.enable_priority_and_fairness:
            self.flows = Flows(reading + mutating, options.request_timeout)
            reading = mutating = 0
        self.meters = Meters(self.catalogue, lambda group, version: self.routes.find(group, version) is not None)
        self.chain = Chain(
            self.authentication.union,
            self.authorizer,
            self.handlers,
            limits=Limits(reading, mutating),
            meters=self.meters,
            attempts=self.authorization.attempts,
            flows=self.flows,
            auditor=auditors.of(options),
            size_of=self._size_of,
            timeout=options.request_timeout,
        )
        self.tracing = tracing
        self.chain.tracer = tracing.tracer if tracing is not None else None
        self.peers: Peers | None = None
        self._aggregate()
        self.reads = self._quick_reads()
        self._listener: Listener | None = None
        self._stopping = False
        self.steps = Steps(
            starts.names(fairness=self.flows is not None, policy=self.rbac is not None), options.livez_grace_period
        )
        # Keeps the address of this server known, once it serves.
        self._instance: Instance | None = None
        self._add_paths()
        self._add_special()

    @property
    def port(self) -> int:
        """The port that is bound."""
        assert self._listener is not None
        return self._listener.port

    # --- wiring

    async def _trust_changed(self) -> None:
        """Judge every certificate anew, also on connections that are there, and tell extension servers."""
        self.authentication.forget()
        self.reads.forget()
        if self._listener is not None:
            for connection in self._listener.connections:
                connection.credential = None
        await Reconciler(self.catalogue, self.objects).authentication(self.trust.published())

    async def _reload_encryption(self) -> None:
        """Take on another configuration once all of its key services answer."""
        assert self.encryption is not None
        made = transformers.load(self.options.encryption_provider_config, self.catalogue.resource_of)
        for service in made.services:
            await asyncio.to_thread(service.poll)
        if made.trouble is not None:
            raise ConfigurationError(made.trouble)
        self.encryption.adopt(made)

    def _reload_authorizers(self) -> None:
        self.authorization.reload()
        self.reads.forget()

    def _quick_reads(self) -> Reads:
        reads = Reads(self.feed, self.catalogue, self.authorizer, self.flows, self.chain.limits, status_response)
        if self.rbac is not None:
            for name in POLICY:
                self.catalogue.collection(self.catalogue.named(name)).observers.append(reads.forget)
        reads.special = self.handlers.special
        reads.remote = self.routes.find
        self.routes.observers.append(reads.forget)
        self.chain.reads = reads
        reads.slow = self.chain.slow
        # The audit log records each request.
        reads.off = self.chain.auditor is not None
        reads.tracer = self.chain.tracer
        return reads

    def _size_of(self, info: RequestInfo) -> int:
        """How many objects the cache has of a resource."""
        served = self.catalogue.find(info.group, info.version, info.resource)
        return len(self.catalogue.collection(served)) if served is not None and served.is_stored else 0

    def _add_special(self) -> None:
        special = self.handlers.special
        special.update(
            Reviews(
                self.authorizer, self.rbac, self.authentication.readers, self.authentication.audiences, self.admission
            ).handlers()
        )
        bindings = Bindings(self.catalogue, self.objects)
        special["bindings"] = special["pods/binding"] = bindings.handle
        special["pods/eviction"] = Evictions(self.catalogue, self.objects, self.deletions).handle
        self.scales = Scales(self.objects)
        for resource in ("deployments.apps", "replicasets.apps", "statefulsets.apps", "replicationcontrollers"):
            special[f"{resource}/scale"] = self.scales.handle
        special[CUSTOM_SCALE] = self.scales.handle
        options = self.options
        kubelets = Kubelets(options, self.catalogue, self.objects)
        streams = Streams(self.catalogue, self.objects, self.authorizer, kubelets)
        special["pods/log"] = Logs(self.catalogue, self.objects, kubelets).handle
        special["pods/exec"], special["pods/attach"] = streams.execute, streams.attach
        special["pods/portforward"] = streams.port_forward
        proxies = proxied_resources.Proxies(self.catalogue, self.objects, kubelets, self._identity_headers)
        for resource in ("nodes", "pods", "services"):
            special[f"{resource}/proxy"] = proxies.handle
        if options.service_account_signing_key_file:
            issuer = Issuer(options.service_account_issuer[0], options.service_account_signing_key_file)
            special["serviceaccounts/token"] = TokenRequests(
                self.catalogue,
                self.objects,
                issuer,
                self.authentication.audiences,
                most_seconds=int(options.service_account_max_token_expiration),
                extend=options.service_account_extend_token_expiration,
            ).handle

    def _aggregate(self) -> None:
        options = self.options
        transports = Transports(options.proxy_client_cert_file, options.proxy_client_key_file)
        self.routes = Routes(
            self.catalogue, self.objects, self.chain, transports, self.resolver, self._identity_headers
        )
        services = Services(self.catalogue, self.objects)
        self.availability = Availability(self.catalogue, self.objects, self.routes, services)
        self.registrations = Registrations(self.catalogue, self.objects, self.deletions, self.routes)
        self.discoveries = Discoveries(self.routes)
        self.open_apis = OpenApis(self.routes, self.discoveries)
        self.places = Places(self.store, f"{options.etcd_prefix}/")
        if options.peer_ca_file:
            withheld = self._identity_headers
            self.peers = Peers(
                self.catalogue, self.objects, self.places, self.routes, transports, options.peer_ca_file, withheld
            )
            self.handlers.elsewhere = self.peers.find
            self.reloads.add("authority of peers", [options.peer_ca_file], self.peers.reload)
        self.discovery = Discovery(self.catalogue, self.discoveries, self.peers)

    @property
    def _identity_headers(self) -> tuple[str, ...]:
        """Beginnings of the headers in which front proxies state identities."""
        options = self.options
        return (
            *options.requestheader_username_headers,
            *options.requestheader_group_headers,
            *options.requestheader_uid_headers,
            *options.requestheader_extra_headers_prefix,
        )

    def _add_paths(self) -> None:
        paths, prefixes = self.chain.paths, self.chain.prefixes
        for checks in (self.livez, self.readyz):
            # Whoever reads this has had an answer; upstream looks whether its log is flushed.
            checks.add("log", lambda: None)
        self.readyz.add("etcd", self._ask_store)
        self.readyz.add("etcd-readiness", self._ask_store)
        self.readyz.add("informer-sync", lambda: None if self.feed.connected.is_set() else "the feed is interrupted")
        self.steps.add_to(self.readyz, patient=False)
        self.readyz.add("autoregister-completion", lambda: None if self.registrations.completed else "not finished")
        if self.peers is not None:
            peers = self.peers
            self.readyz.add(
                "poststarthook/mixed-version-proxy-handler", lambda: None if peers.synced else "not finished"
            )
        if self.encryption is not None:
            encryption = self.encryption
            self.readyz.add("kms-providers", lambda: encryption.trouble)
        self.readyz.add("shutdown", lambda: "the server is shutting down" if self._stopping else None)
        self.livez.add("etcd", self._ask_store)
        self.steps.add_to(self.livez, patient=True)
        for path, checks in (("/livez", self.livez), ("/readyz", self.readyz), ("/healthz", self.livez)):
            handler = health(checks)
            paths[path] = handler
            prefixes[path + "/"] = handler
        general = Paths(self.chain, self.discovery, self._address(), self.store)
        paths["/metrics"], paths["/metrics/slis"] = general.metrics, general.indicators
        pages = Pages(self.options, lambda: (*paths, *prefixes))
        paths["/statusz"], paths["/flagz"] = pages.statusz, pages.flagz
        paths["/version"] = paths["/version/"] = general.version
        paths["/api"] = paths["/api/"] = paths["/apis"] = paths["/apis/"] = general.discover
        prefixes["/api/"] = prefixes["/apis/"] = general.discover
        paths["/"] = general.index
        prefixes["/openapi/"] = OpenApi(self.catalogue, self.open_apis).handle
        if self.tokens is not None:
            uri = self.options.service_account_jwks_uri or f"https://{self._address()}{openid.KEYS}"
            documents = openid.Documents(self.tokens, uri)
            paths[openid.KEYS] = paths[openid.KEYS + "/"] = documents.keys
            paths[openid.CONFIGURATION] = paths[openid.CONFIGURATION + "/"] = documents.configuration

    def _allocate_for_services(self, root: str) -> None:
        first, _, last = self.options.service_node_port_range.partition("-")
        ports = Ports(int(first), int(last), self.store, self.catalogue.transformer, root)
        ranges = [Addresses(each, self.catalogue, self.objects, self.deletions) for each in self.service_networks]
        self.ranges = RangeMetrics(ranges, ports)
        allocation = Allocation(ranges, ports)
        hooks = self.objects.hooks
        hooks.prepare["services"], hooks.abandon["services"] = allocation.prepare, allocation.abandon
        hooks.stored["services"], hooks.deleted["services"] = allocation.stored, allocation.deleted

    async def _ask_store(self) -> str | None:
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self.store.revision()
        except TimeoutError:
            return "the store does not answer"
        except StorageError as error:
            return str(error)
        return None

    def _address(self) -> str:
        return f"{self.options.advertise_address or self.options.bind_address}:{self.options.secure_port}"

    # --- life

    @asynccontextmanager
    async def serve(self, stop: asyncio.Event) -> AsyncIterator[Server]:
        """Serve while the context is open, and drain on the way out; `stop` ends the start where it waits."""
        async with AsyncExitStack() as stack:
            if self.tracing is not None:
                await stack.enter_async_context(self.tracing.run())
            stack.push_async_callback(self.webhook_clients.close)
            feeding = asyncio.create_task(self.feed.run())
            stack.callback(feeding.cancel)
            self.chain.slow.stalls.start()
            stack.callback(self.chain.slow.stalls.stop)
            versions.publish(features(self.options))
            collectors: list[Collector] = [StoreMetrics(self.store), CacheMetrics(self.catalogue)]
            collectors += [self.meters, self.admission.durations, self.objects.custom_rules, self.ranges]
            collectors += [self.authentication.union.attempts, self.authorization.attempts]
            for collector in (*collectors, *((Gauges(self.flows),) if self.flows is not None else ())):
                metrics.REGISTRY.register(collector)
                stack.callback(metrics.REGISTRY.unregister, collector)
            await stack.enter_async_context(self.authentication.run())
            await stack.enter_async_context(self.authorization.run())
            stack.callback(asyncio.create_task(self.reloads.run()).cancel)
            if self.encryption is not None:
                stack.callback(asyncio.create_task(self.encryption.run()).cancel)
            if self.chain.auditor is not None:
                await stack.enter_async_context(self.chain.auditor.run())
            if self.options.etcd_compaction_interval:
                compactor = Compactor(self.store, self.options.etcd_compaction_interval, self.feed.compacted)
                stack.callback(asyncio.create_task(compactor.run()).cancel)
            listener = Listener(
                self.chain,
                self.options.bind_address,
                self.options.secure_port,
                self.trust.context,
                malformed=lambda why: status_response(errors.bad_request(f"malformed HTTP request: {why}")),
                passes_body=proxied_resources.is_proxied,
                drain_seconds=_CLOSING_SECONDS + self.options.shutdown_watch_termination_grace_period,
                quick=self.reads.take if self.reads.tracer is None else self.reads.take_untraced,
            )
            try:
                self._listener = await stack.enter_async_context(listener)
            except OSError as error:
                raise FatalError(
                    f"cannot listen on {self.options.bind_address}:{self.options.secure_port}: {error.strerror}"
                ) from error
            log.info("serving on %s:%d", self.options.bind_address, self.port)
            bound = ipaddress.ip_address(self.options.bind_address)
            self.resolver.loopback = Place("127.0.0.1" if bound.is_unspecified else str(bound), self.port)
            starting = asyncio.create_task(self._start(stack))
            stack.callback(starting.cancel)
            try:
                stopped = asyncio.create_task(stop.wait())
                await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
                stopped.cancel()
                if starting.done():
                    starting.result()
                yield self
                await self._drain(listener)
            finally:
                self._stopping = True
                self.watches.stop(self.options.shutdown_watch_termination_grace_period)

    async def _drain(self, listener: Listener) -> None:
        """Leave in order: told to be not ready, then gone for new requests, and only then for those under way.

        The order is upstream's: /readyz fails and the address is withdrawn at once, load balancers have
        --shutdown-delay-duration to see it, requests finish within --request-timeout, watches end last, so that their
        clients do not come back while this server still listens.
        """
        options = self.options
        self._stopping = True
        if self._instance is not None:
            try:
                async with asyncio.timeout(_WITHDRAWAL_SECONDS):
                    await self._instance.withdraw()
            except TimeoutError:
                log.warning("the store does not answer; the address of this server will expire there")
        if options.shutdown_delay_duration:
            await asyncio.sleep(options.shutdown_delay_duration)
        if options.shutdown_send_retry_after:
            self.chain.closing = self.reads.off = True
        else:
            listener.close()
        listener.close_idle()
        try:
            async with asyncio.timeout(options.request_timeout):
                await self.chain.idle()
        except TimeoutError:
            log.warning("requests are cut that did not end within --request-timeout")

    async def _start(self, stack: AsyncExitStack) -> None:
        """Load what every request needs and write what every cluster has."""
        for name in (*self.authorization.warm, "namespaces"):
            await self.feed.ready(self.catalogue.named(name).prefix)
        await self.definitions.start()
        await self.dynamic_admission.load(self.feed)
        self.steps.done(*starts.ADMISSION)
        stack.callback(asyncio.create_task(self.upkeep.run()).cancel)
        self.steps.done(*starts.INFORMERS)
        await self.routes.start()
        self.definitions.collection.observers.append(lambda _changes: self.registrations.look())
        stack.callback(asyncio.create_task(self.availability.run()).cancel)
        stack.callback(asyncio.create_task(self.registrations.run()).cancel)
        self.discoveries.start()
        stack.callback(self.discoveries.stop)
        stack.callback(self.open_apis.stop)
        self.steps.done(*starts.AGGREGATION)
        reconciler = Reconciler(self.catalogue, self.objects)
        instance = self._made_instance(reconciler)
        fairness: FlowUpkeep | None = None
        if self.flows is not None:
            fairness = FlowUpkeep(self.flows, self.catalogue, self.objects, self.patches, self.deletions, reconciler)
            await fairness.start()
            stack.callback(asyncio.create_task(fairness.run()).cancel)
        while True:
            try:
                await reconciler.namespaces()
                self.steps.done(*starts.NAMESPACES)
                if self.rbac is not None:
                    await reconciler.policy()
                    self.steps.done(*starts.POLICY)
                await reconciler.priority_classes()
                self.steps.done(*starts.PRIORITY_CLASSES)
                if fairness is not None:
                    await fairness.ensure()
                    self.steps.done(*starts.FAIRNESS)
                await reconciler.service_cidr([str(each) for each in self.service_networks])
                await reconciler.authentication(self.trust.published())
                await reconciler.token_tracking()
                self.steps.done(*starts.TRUST)
                await instance.service()
                self.steps.done(*starts.SERVICES)
                break
            except (StorageError, errors.StatusError) as error:
                log.warning("start-up waits for the store: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
        await instance.renew()
        self._instance = instance
        stack.callback(asyncio.create_task(instance.run()).cancel)
        if self.peers is not None:
            stack.callback(asyncio.create_task(self.peers.run(instance.identity)).cancel)
        self.steps.done(*starts.INSTANCE)

    def _made_instance(self, reconciler: Reconciler) -> Instance:
        options = self.options
        address = instances.advertised(options)
        place = (address, self.port)
        if options.peer_advertise_ip and options.peer_advertise_port:
            place = (options.peer_advertise_ip, int(options.peer_advertise_port))
        return Instance(
            self.catalogue,
            self.objects,
            self.deletions,
            self.store,
            reconciler,
            address=address,
            port=self.port,
            service_address=str(self.service_networks[0][1]),
            root=f"{options.etcd_prefix}/",
            places=self.places,
            place=place,
            publishes=options.endpoint_reconciler_type == "lease",
        )
