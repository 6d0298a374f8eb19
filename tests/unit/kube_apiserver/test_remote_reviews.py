"""A server that is asked for reviews, and is not there."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import yaml

from keelson.api.errors import StatusError
from keelson.kube_apiserver.remote_reviews import Reviewer


async def test_a_server_that_is_not_there_is_asked_once(tmp_path: Path) -> None:
    with socket.socket() as closed:
        # Bound and not listening: nobody else gets the port, and connections are refused.
        closed.bind(("127.0.0.1", 0))
        cluster = {"server": f"https://127.0.0.1:{closed.getsockname()[1]}/review"}
        config = {
            "apiVersion": "v1", "kind": "Config",
            "clusters": [{"name": "it", "cluster": cluster}], "users": [{"name": "it", "user": {}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}], "current-context": "it",
        }  # fmt: skip
        path = tmp_path / "it.conf"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        reviewer = Reviewer(str(path), "authorization.k8s.io/v1", "SubjectAccessReview", seconds=10)
        try:
            # The pauses between all attempts are four seconds.
            async with asyncio.timeout(3.5):
                with pytest.raises(StatusError) as refused:
                    await reviewer.ask({"user": "somebody"})
        finally:
            await reviewer.close()
    assert refused.value.code == 503
