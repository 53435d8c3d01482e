"""The one connection to the API server: reading, listing and patching plain objects over the official async client.

The client library is used for what it is good at (kubeconfig, credentials and their renewal, TLS, connections), and
imported only when a connection is made: it costs a quarter of a second and 46 MB. Requests are limited in number at
a time and in duration, and never repeated here: the next tick is the retry.
"""

import asyncio
import json
import math
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from flyball.cluster.errors import Call, Expired, Fenced, error_of
from flyball.cluster.resources import FIELD_MANAGER, Object, Resource
from flyball.core.ports import Rejected, Unavailable

PAGE_SIZE = 500


class PatchType(StrEnum):
    """How a patch's body is meant; the client library's own guess is never relied upon."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    APPLY = "application/apply-patch+yaml"


def _ignore_write(resource: str, verb: str) -> None:
    """Counts nothing."""


def _write_for_ever() -> float:
    """The fence of a connection whose writes nobody else's exclude."""
    return math.inf


class ApiServer:
    """One API server, seen through one set of credentials.

    `on_write` is called with the resource (`deployments/scale`) and the verb (`patch`) of every write that is sent.
    `client_errors` are what the client library may raise by itself, such as a credential plugin's failure. Every method
    raises the ports' errors only.
    """

    def __init__(
        self,
        api_client: Any,  # the client library has no types
        *,
        concurrency: int = 16,
        timeout_seconds: float = 10.0,
        on_write: Callable[[str, str], None] = _ignore_write,
        client_errors: tuple[type[Exception], ...] = (),
    ) -> None:
        self._api_client = api_client
        self._slots = asyncio.Semaphore(concurrency)
        self._timeout_seconds = timeout_seconds
        self._on_write = on_write
        self._fence: Callable[[], float] = _write_for_ever
        self._client_errors: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, *client_errors)

    def fenced(self, fence: Callable[[], float]) -> "ApiServer":
        """The same connection for writes that others' exclude: `fence` is asked right before each is sent for how many
        seconds writing is still allowed. A write takes no longer, and where nothing is left it is not sent.
        """
        found = copy(self)
        found._fence = fence  # noqa: SLF001 - its own copy
        return found

    async def get(self, resource: Resource, name: str, namespace: str = "", subresource: str = "") -> Object:
        """One object, or one of its subresources."""
        call = Call("get", resource, namespace, name, subresource)
        return await self._send(call, "GET", resource.path(namespace, name, subresource))

    async def get_path(self, path: str) -> Object:
        """A document that is no object of a resource, such as a group's list of resources."""
        return await self._send(Call("get", Resource("", "", path)), "GET", path)

    async def list_all(
        self, resource: Resource, namespace: str = "", *, labels: str = "", cached: bool = False
    ) -> list[Object]:
        """A whole collection, of one namespace or of all.

        `cached` asks for what the API server has in memory (resourceVersion 0): one page, no load on etcd, and perhaps
        a moment old. It is for what is only looked at; writes that follow from it carry tests of their own. Otherwise
        the collection is read consistently, page by page, and from the start once more where a page's token expired.
        """
        if cached:
            return await self._pages(resource, namespace, {"labelSelector": labels, "resourceVersion": "0"})
        query = {"labelSelector": labels, "limit": str(PAGE_SIZE)}
        try:
            return await self._pages(resource, namespace, query)
        except Expired:
            return await self._pages(resource, namespace, query)

    async def create(self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object, or with `dry_run` only have it judged; Conflict where one of that name exists."""
        call = Call("create", resource, namespace)
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All", "fieldValidation": "Strict"} if dry_run else {})
        return await self._send(call, "POST", resource.path(namespace), query, body, "application/json")

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        body: Object | Sequence[Object],
        patch_type: PatchType,
        *,
        subresource: str = "",
    ) -> Object:
        """Patch an object or one of its subresources as field manager `flyball`; apply patches are forced."""
        call = Call("patch", resource, namespace, name, subresource)
        query = {"fieldManager": FIELD_MANAGER} | ({"force": "true"} if patch_type is PatchType.APPLY else {})
        return await self._send(
            call, "PATCH", resource.path(namespace, name, subresource), query, body, patch_type.value
        )

    async def _pages(self, resource: Resource, namespace: str, query: dict[str, str]) -> list[Object]:
        items: list[Object] = []
        token = ""
        while True:
            call, path = Call("list", resource, namespace), resource.path(namespace)
            page = await self._send(call, "GET", path, query | {"continue": token})
            items += page.get("items") or ()
            token = page["metadata"].get("continue", "")
            if not token:
                return items

    async def _send(
        self,
        call: Call,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Object | Sequence[Object] | None = None,
        content_type: str = "",
    ) -> Object:
        asked = urlencode({name: value for name, value in (query or {}).items() if value})
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if content_type else {})
        async with self._slots:
            seconds = self._timeout_seconds
            if body is not None:
                seconds = min(seconds, self._fence())
                if seconds <= 0:
                    raise Fenced(f"{call}: not sent, since another process may hold the lease by now")
                self._on_write(call.rbac_resource, call.verb)
            try:
                target = f"{path}?{asked}" if asked else path
                status, answer = await self._exchange(method, target, headers, body, seconds)
            except TimeoutError as error:
                raise Unavailable(f"{call}: no answer within {seconds:g} s") from error
            except self._client_errors as error:
                raise Unavailable(f"{call}: {str(error) or type(error).__name__}") from error
        if not 200 <= status < 300:
            raise error_of(call, status, answer)
        try:
            decoded: Object = json.loads(answer)
        except ValueError as error:
            raise Unavailable(f"{call}: the answer is no JSON: {answer[:80]!r}") from error
        return decoded

    async def _exchange(
        self, method: str, path: str, headers: dict[str, str], body: Object | Sequence[Object] | None, seconds: float
    ) -> tuple[int, bytes]:
        sent = list(body) if isinstance(body, (list, tuple)) else body
        request = await self._api_client.param_serialize(
            method, path, header_params=headers, body=sent, auth_settings=["BearerToken"]
        )
        timeout = aiohttp.ClientTimeout(total=seconds)
        response = await self._api_client.call_api(*request, _request_timeout=timeout)
        return int(response.status), bytes(await response.read())


@asynccontextmanager
async def connect(
    kubeconfig: Path | None = None,
    *,
    context: str | None = None,
    impersonate: str = "",
    concurrency: int = 16,
    timeout_seconds: float = 10.0,
    on_write: Callable[[str, str], None] = _ignore_write,
) -> AsyncIterator[ApiServer]:
    """A connection: to `kubeconfig` where given, else to the cluster that this process runs in, else to the user's own.

    Raises Rejected where no configuration can be read.
    """
    from kubernetes.aio import client, config

    configuration = client.Configuration()
    try:
        if kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                config_file=str(kubeconfig) if kubeconfig else None,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (config.ConfigException, OSError, ValueError) as error:
        raise Rejected(f"no way to the API server: {error}; set KUBECONFIG or run in a cluster") from error
    configuration.retries = None
    configuration.connection_pool_maxsize = concurrency
    api_client = client.ApiClient(configuration)
    api_client.user_agent = FIELD_MANAGER
    if impersonate:
        api_client.set_default_header("Impersonate-User", impersonate)
    try:
        yield ApiServer(
            api_client,
            concurrency=concurrency,
            timeout_seconds=timeout_seconds,
            on_write=on_write,
            client_errors=(config.ConfigException, client.OpenApiException),
        )
    finally:
        await api_client.close()
