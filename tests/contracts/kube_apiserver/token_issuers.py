"""A small OpenID provider and a small review webhook, for the suites that need one: real servers in a thread."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.contracts.kube_apiserver.api_servers import Authority

Answer = Callable[[str, bytes], tuple[int, Any]]


class HttpsServer:
    """Answers with JSON what `answer(path, body)` gives, on loopback; `authority` is the CA of its certificate."""

    def __init__(self, folder: Path, answer: Answer) -> None:
        self.authority = Authority("issuer")
        certificate, key = self.authority.issue("127.0.0.1", names=["localhost"], addresses=["127.0.0.1"])
        folder.mkdir(parents=True, exist_ok=True)
        paths = folder / "server.crt", folder / "server.key"
        for path, content in zip(paths, (certificate, key), strict=True):
            path.write_bytes(content)

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                status, document = answer(self.path, self.rfile.read(int(self.headers.get("content-length") or 0)))
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer  # noqa: N815 - the standard library's names

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*paths)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def kubeconfig(self, path: Path) -> str:
        """Write a kubeconfig that names this server; its path."""
        import base64

        cluster = {
            "server": f"{self.url}/review",
            "certificate-authority-data": base64.b64encode(self.authority.pem).decode(),
        }
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": cluster}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "users": [{"name": "a", "user": {}}],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return str(path)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Issuer(HttpsServer):
    """An OpenID provider whose keys can be rotated."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, self._documents)
        self._generation = 0
        self.fetches = 0
        self.rotate()

    def rotate(self, *, elliptic: bool = False) -> None:
        """Sign with another key from now on; the old one is published no more."""
        self._generation += 1
        self._key: Any = ec.generate_private_key(ec.SECP256R1()) if elliptic else rsa.generate_private_key(65537, 2048)
        self._algorithm = "ES256" if elliptic else "RS256"

    @property
    def _kid(self) -> str:
        return f"key-{self._generation}"

    def _documents(self, path: str, _body: bytes) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            self.fetches += 1
            kind = jwt.algorithms.RSAAlgorithm if self._algorithm == "RS256" else jwt.algorithms.ECAlgorithm
            shown = kind.to_jwk(self._key.public_key(), as_dict=True)
            return 200, {"keys": [{**shown, "kid": self._kid, "use": "sig", "alg": self._algorithm}]}
        return 404, {}

    def token(self, *, key: Any = None, algorithm: str = "", **claims: Any) -> str:
        """A token with these claims, for the audience "cluster" and a minute unless they say otherwise."""
        now = int(time.time())
        stated = {"iss": self.url, "aud": "cluster", "sub": "42", "exp": now + 60, "iat": now, **claims}
        stated = {name: value for name, value in stated.items() if value is not None}
        return jwt.encode(
            stated, key if key is not None else self._key, algorithm=algorithm or self._algorithm,
            headers={"kid": self._kid},
        )  # fmt: skip
