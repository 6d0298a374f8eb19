"""The verbs on resources: from a request that was let in to its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from keelson.api import decoding, errors, meta, resources, schemas, strategies
from keelson.api.meta import Object
from keelson.api.patches import managed_fields

from .caches.items import Item
from .encodings import protobuf
from .encodings.answers import renegotiated
from .encodings.bodies import read
from .registry import protobuf_lists
from .registry.catalogues import Catalogue, Served
from .registry.contexts import Context, User
from .registry.deletions import Deletions, checked_options
from .registry.listing import Lists, options_of, revision_of
from .registry.numbers import integer
from .registry.objects import Objects
from .registry.parameters import check_write, dry_run_causes, flag, refuse
from .registry.patching import Patches
from .registry.representations import collection, object_of, single
from .registry.watching import Watches
from .serving.messages import Request, Response
from .serving.negotiation import JSON, OBJECT, PROTOBUF, Form, accepted_bodies, negotiate, streamed, wants_pretty
from .serving.request_infos import RequestInfo

# A handler of whole requests.
Handler = Callable[[Request, RequestInfo, User], Awaitable["Response | None"]]
# A handler of one subresource, or of a resource whose objects are not stored.
Special = Callable[[Context, Request, Served], Awaitable["Response | None"]]

_DELETE_OPTIONS = schemas.Kind("v1", "DeleteOptions")
# The verbs of what is never stored: reviews, bindings.
_ONLY_ASKED = ("create",)
# The key of the handler of every custom resource's scale.
CUSTOM_SCALE = "*/scale"
# What can be done to all namespaces at once.
_ACROSS_NAMESPACES = frozenset({"list", "watch"})
# Below these, upstream's router itself answers for paths that it does not know.
_BUILT_IN = frozenset((each.group, each.version) for each in resources.BUILT_IN)


def context_of(request: Request, info: RequestInfo, user: User) -> Context:
    """The context of a request. Raises StatusError 400 for parameters that make no sense."""
    # An apply must state its manager.
    if not request.query_string and info.verb != "patch":
        return Context(user, info, datetime.now(UTC), managed_fields.manager_of(request.headers.get("user-agent", "")))
    check_write(request, info.verb)
    stated = {name: text for name in ("fieldManager", "fieldValidation") if (text := request.parameter(name))}
    return Context(
        user,
        info,
        datetime.now(UTC),
        request.parameter("fieldManager") or managed_fields.manager_of(request.headers.get("user-agent", "")),
        dry_run="All" in request.query.get("dryRun", ()),
        field_validation=request.parameter("fieldValidation") or "Warn",
        force=flag(request, "force"),
        stated=stated,
    )


def success(served: Served, item: Item, name: str) -> Object:
    """The Status that tells of a deletion."""
    metadata = orjson.loads(b"{" + item.body + b"}").get("metadata") or {}
    details: Object = {"name": name, "kind": served.resource.plural}
    if served.resource.group:
        details["group"] = served.resource.group
    if metadata.get("uid"):
        details["uid"] = metadata["uid"]
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _form(request: Request, served: Served, verb: str) -> Form:
    """The wire form of the answer. Raises StatusError 406."""
    accept = request.headers.get("accept", "")
    form = negotiate(accept, custom=served.custom, streams=verb in ("list", "watch"))
    if verb == "watch":
        # Events are lines, whoever reads them.
        return streamed(form)._replace(pretty=False) if form.pretty or form.media_type != JSON else form
    if form.media_type == JSON and not form.pretty and wants_pretty(request):
        return form._replace(pretty=True)
    return form


def _nowhere(info: RequestInfo) -> errors.StatusError:
    """404 for a path that names nothing: a Status below a built-in group's version, and plain text elsewhere."""
    error = errors.path_not_found()
    if (info.group, info.version) in _BUILT_IN:
        return errors.StatusError(error.code, error.reason, error.message, {})
    return error


class Handlers:
    """One method a verb. `special` holds what does not take the common road, by "resource" or "resource/sub"."""

    def __init__(
        self,
        catalogue: Catalogue,
        objects: Objects,
        lists: Lists,
        watches: Watches,
        deletions: Deletions,
        patches: Patches,
    ) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._lists = lists
        self._watches = watches
        self._deletions = deletions
        self._patches = patches
        self.special: dict[str, Special] = {}
        # Looks once more for a resource that is not in the catalogue: another instance may just have made it.
        self.missing: Callable[[RequestInfo], Awaitable[Served | None]] | None = None
        # Who handles what this instance does not serve and another does; None where nothing is passed on.
        self.elsewhere: Callable[[Request, RequestInfo], Handler | None] | None = None

    async def handle(self, request: Request, info: RequestInfo, user: User) -> Response | None:
        """The answer, or None where the connection was streamed to or taken over. Raises StatusError."""
        served = self._catalogue.find(info.group, info.version, info.resource)
        if served is None and self.missing is not None:
            served = await self.missing(info)
        if served is None:
            handler = self.elsewhere(request, info) if self.elsewhere is not None else None
            if handler is None:
                raise _nowhere(info)
            return await handler(request, info, user)
        resource = served.resource
        if info.namespace and not resource.namespaced and resource.plural != "namespaces":
            # A cluster-scoped object has no path below a namespace (CVE-2019-11247).
            raise _nowhere(info)
        if resource.plural == "namespaces" and info.group == "" and info.namespace and not info.name:
            raise _nowhere(info)
        if resource.namespaced and not info.namespace and (info.name and info.verb not in ("list", "watch")):
            raise _nowhere(info)
        context = context_of(request, info, user)
        request.warnings = context.warnings
        request.context = context
        context.done = request.done
        if request.audit is not None:
            request.audit.context = context
        if served.extras:
            self._check_extras(context, served)
        special = self.special.get(
            f"{resource.qualified}/{info.subresource}" if info.subresource else resource.qualified
        )
        if served.custom and info.subresource == "scale" and "scale" in resource.subresources:
            special = self.special[CUSTOM_SCALE]
        if special is not None:
            if resource.verbs == _ONLY_ASKED:
                negotiate(request.headers.get("accept", ""), whole=True)
            response = await special(context, request, served)
            return None if response is None else renegotiated(request, response)
        if info.subresource:
            if info.subresource not in resource.subresources:
                if served.custom:
                    raise errors.not_found(resource.plural, info.name, group=resource.group)
                raise _nowhere(info)
            return await self.subresource(context, request, served)
        if info.verb not in resource.verbs:
            raise errors.method_not_allowed(info.verb or request.method, resource.qualified)
        if resource.namespaced and not info.namespace and info.verb not in _ACROSS_NAMESPACES:
            if served.custom:
                raise errors.path_not_found()
            if info.verb == "create":
                raise errors.method_not_allowed("create", resource.qualified)
        method: Callable[[Context, Request, Served, Form], Awaitable[Response | None]] = getattr(self, info.verb)
        return await method(context, request, served, _form(request, served, info.verb))

    def _check_extras(self, context: Context, served: Served) -> None:
        verb = context.info.verb
        if "deprecationWarning" in served.extras:
            context.deprecation = served.extras["deprecationWarning"]
            context.warnings.append(context.deprecation)
        if verb == "create":
            served.check_creation()

    async def get(self, context: Context, request: Request, served: Served, form: Form) -> Response:
        """One object."""
        info = context.info
        stale = False
        if request.query_string and (version := request.parameter("resourceVersion")):
            revision = revision_of(version)
            stale = True
            if revision:
                await self._lists.reached(served, revision)
        item = await self._objects.get(served, info.namespace, info.name, stale=stale)
        context.done("Object read from cache")
        return single(served, item, form, include=request.parameter("includeObject"))

    async def list(self, context: Context, request: Request, served: Served, form: Form) -> Response:
        """A collection."""
        info = context.info
        options = options_of(request, served, info.namespace, info.name)
        items, metadata = await self._lists.list(served, options)
        context.done("Listed items from cache")
        if served.custom and form.as_kind == OBJECT:
            # Upstream's lists of custom resources always have it.
            metadata.setdefault("continue", "")
        form = protobuf_lists.preferred(served, items, form, request.headers.get("accept", ""))
        run = options.selection.unconditional
        if form.media_type == PROTOBUF:
            return await protobuf_lists.collection(served, items, metadata, form, run=run)
        return await collection(served, items, metadata, form, include=request.parameter("includeObject"), run=run)

    async def watch(self, context: Context, request: Request, served: Served, form: Form) -> None:
        """A stream of changes."""
        await self._watches.watch(request, served, context.info.namespace, context.info.name, form)

    def _decode(self, context: Context, request: Request, served: Served) -> Object:
        return read(context, request, served.resource, served.schema if served.custom else None)

    async def create(self, context: Context, request: Request, served: Served, form: Form) -> Response:
        """A new object."""
        obj = self._decode(context, request, served)
        context.done("Conversion done")
        item = await self._objects.create(context, served, context.info.namespace, obj)
        return single(served, item, form, status=201)

    async def update(self, context: Context, request: Request, served: Served, form: Form) -> Response:
        """Another state of an object."""
        obj = self._decode(context, request, served)
        context.done("Conversion done")
        info, resource = context.info, served.resource
        if not meta.name(obj):
            raise errors.bad_request(
                "the name of the object (one based on URL) was undeterminable: name must be provided"
            )
        version = meta.resource_version(obj)
        if version and version != "0" and not version.isdecimal():
            cause = errors.cause(
                "metadata.resourceVersion", "FieldValueInvalid", f'Invalid value: "{version}": invalid'
            )
            raise errors.invalid(resource.kind, info.name, [cause], group=resource.group)

        def change(_old: Object) -> Object:
            if not version and not strategies.allows_unconditional_update(resource):
                message = "Invalid value: 0: must be specified for an update"
                cause = errors.cause("metadata.resourceVersion", "FieldValueInvalid", message)
                # Upstream names the resource here, and not the kind.
                raise errors.invalid(resource.plural, info.name, [cause], group=resource.group)
            # The road changes what it is given, and may be taken again.
            fresh: Object = orjson.loads(orjson.dumps(obj))
            return fresh

        try:
            item = await self._objects.update(
                context, served, info.namespace, info.name, change, subresource=info.subresource
            )
        except errors.StatusError as error:
            if error.code != 404 or info.subresource or not strategies.allows_create_on_update(resource):
                raise
            if version and version != "0":
                raise
            item = await self._objects.create(context, served, info.namespace, obj)
            return single(served, item, form, status=201)
        return single(served, item, form)

    async def patch(self, context: Context, request: Request, served: Served, form: Form) -> Response:
        """A partial change."""
        info = context.info
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.audit is not None:
            request.audit.patched(request.body, media_type)
        item, created = await self._patches.patch(
            context, served, info.namespace, info.name, media_type, request.body, subresource=info.subresource
        )
        return single(served, item, form, status=201 if created else 200)

    def _options(self, context: Context, request: Request) -> Object:
        options: Object = {}
        if request.body:
            # Every group has a DeleteOptions of its own, all alike: which one is named does not matter.
            media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON
            if media_type not in accepted_bodies():
                raise errors.unsupported_media_type(accepted_bodies())
            options, _ = (
                (protobuf.decode(request.body), [])
                if protobuf.is_protobuf(request.headers)
                else decoding.parse(request.body, media_type)
            )
            if not isinstance(options, dict) or options.get("kind", "DeleteOptions") != "DeleteOptions":
                raise errors.bad_request("the body of a deletion must be DeleteOptions")
            if request.audit is not None:
                request.audit.decoded(options)
            options["apiVersion"] = _DELETE_OPTIONS.api_version
            decoding.conform(options, _DELETE_OPTIONS, field_validation="Ignore")
            stages = options.get("dryRun") or []
            refuse("DeleteOptions", dry_run_causes(stages))
            context.dry_run = context.dry_run or bool(stages)
        elif request.query_string:
            if "gracePeriodSeconds" in request.query:
                options["gracePeriodSeconds"] = integer(request.parameter("gracePeriodSeconds"))
            if policy := request.parameter("propagationPolicy"):
                options["propagationPolicy"] = policy
            if "orphanDependents" in request.query:
                options["orphanDependents"] = flag(request, "orphanDependents")
        return checked_options(options)

    async def delete(self, context: Context, request: Request, served: Served, form: Form) -> Response:
        """The end of an object, or its beginning."""
        info = context.info
        options = self._options(context, request)
        outcome = await self._deletions.delete(context, served, info.namespace, info.name, options)
        if not outcome.gone or served.resource.qualified in resources.RETURNS_DELETED:
            return single(served, outcome.item, form)
        return renegotiated(request, Response(200, orjson.dumps(success(served, outcome.item, info.name))))

    async def deletecollection(self, context: Context, request: Request, served: Served, form: Form) -> Response:
        """The end of every selected object; answers with what they were."""
        info = context.info
        options = self._options(context, request)
        items, metadata = await self._lists.list(served, options_of(request, served, info.namespace))
        await self._deletions.delete_collection(context, served, items, options)
        metadata["resourceVersion"] = str((await self._objects.fresh(served)).last_change)
        if form.media_type == PROTOBUF:
            return await protobuf_lists.collection(served, items, metadata, form)
        return await collection(served, items, metadata, form)

    async def subresource(self, context: Context, request: Request, served: Served) -> Response:
        """A subresource that shows the whole object and writes a part of it, such as status."""
        verb = context.info.verb
        form = _form(request, served, verb)
        if verb not in ("get", "update", "patch"):
            raise errors.method_not_allowed(verb, served.resource.qualified)
        method: Callable[[Context, Request, Served, Form], Awaitable[Response]] = getattr(self, verb)
        return await method(context, request, served, form)

    def object(self, served: Served, item: Item) -> Any:
        """The object of an item, for handlers of subresources."""
        return object_of(served, item)
