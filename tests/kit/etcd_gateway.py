"""A stand-in for etcd's JSON gateway, on the running loop: several endpoints over one store.

Each endpoint is well, slow, without a leader, silent, lying or cut off, as a test says. What etcd
itself does is in `etcd_store.py`, and tried against real ones by `etcd.py`.
"""

import asyncio
import json
import ssl
from typing import Any, Self

from aiohttp import web

from tests.kit.etcd_store import EtcdStore, Refused

POLL_S = 0.005
HUGE = b" " * 1024 * 1024


class Endpoint:
    """One member."""

    def __init__(self, store: EtcdStore) -> None:
        self.store = store
        self.url = ""
        self.fault = ""  # slow, no-leader, silent, cut, huge, no-json, http-500
        self.delay_s = 0.0  # before the answer, where it is slow
        self.requests: list[str] = []  # paths
        self.tokens: list[str] = []
        self.has_leader_wanted = False  # by the last watch
        self.is_broken = asyncio.Event()  # ends watches

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request.path)
        document = json.loads(await request.read())
        match self.fault:
            case "slow":
                await asyncio.sleep(self.delay_s)
            case "silent":
                await self.is_broken.wait()
            case "cut":
                assert request.transport is not None
                request.transport.close()
                return web.Response()
            case "no-json":
                return web.Response(body=b"{nothing")
            case "common-name":
                words = "CommonName of client sending a request against gateway will be ignored"
                return web.Response(status=400, text=words)
            case "http-500":
                return web.Response(status=500, body=b"<html>")
            case "huge":
                return await self._huge(request)
            case "no-leader":
                refused = Refused(14, "etcdserver: no leader")
                return web.json_response(refused.document(), status=503)
        if request.path == "/v3/watch":
            return await self._watch(request, document)
        token = request.headers.get("Authorization", "")
        self.tokens.append(token)
        now = asyncio.get_running_loop().time()
        try:
            return web.json_response(self.store.handle(request.path, document, now, token))
        except Refused as refused:
            return web.json_response(refused.document(), status=412)

    async def _huge(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not self.is_broken.is_set():
            await response.write(HUGE)
        return response

    async def _watch(self, request: web.BaseRequest, document: Any) -> web.StreamResponse:
        self.has_leader_wanted = request.headers.get("Grpc-Metadata-hasleader") == "true"
        response = web.StreamResponse()
        await response.prepare(request)
        store, broken = self.store, self.is_broken
        created = {"result": {"header": {"revision": f"{store.revision}"}, "created": True}}
        await response.write(json.dumps(created).encode() + b"\n")
        since = int(document["create_request"].get("start_revision", 0)) or store.revision + 1
        while not broken.is_set():
            found, since = store.watch(document, since)
            for one in found:
                await response.write(json.dumps(one).encode() + b"\n")
            await asyncio.sleep(POLL_S)
        error = {"error": {"grpc_code": 14, "message": "etcdserver: no leader"}}
        await response.write(json.dumps(error).encode())
        return response


class EtcdGateway:
    """Listens between `__aenter__` and `__aexit__`."""

    def __init__(self, endpoints: int = 1, tls: ssl.SSLContext | None = None) -> None:
        self.store = EtcdStore()
        self.endpoints = [Endpoint(self.store) for _ in range(endpoints)]
        self._runners: list[web.ServerRunner] = []
        self._tls = tls

    @property
    def urls(self) -> list[str]:
        return [endpoint.url for endpoint in self.endpoints]

    async def __aenter__(self) -> Self:
        for endpoint in self.endpoints:
            runner = web.ServerRunner(web.Server(endpoint.answer), shutdown_timeout=0.0)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
            await site.start()
            scheme = "https" if self._tls else "http"
            endpoint.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
            self._runners.append(runner)
        return self

    async def __aexit__(self, *_: object) -> None:
        for endpoint in self.endpoints:
            endpoint.is_broken.set()
        for runner in self._runners:
            await runner.cleanup()
