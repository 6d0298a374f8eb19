"""All controllers together: one that can't be made takes the whole daemon down."""

from __future__ import annotations

import pytest

from keelson.client.events import Recorder
from keelson.client.informers import Factory
from keelson.client.kubeconfigs import ClientConfig
from keelson.client.rest import Client
from keelson.kube_controller_manager.contexts import Context, Controller, Settings
from keelson.kube_controller_manager.controllers import registry


# Those that need keys to be made are not run without them.
@pytest.mark.parametrize("make", registry.chosen(registry.names(), Settings()), ids=lambda make: make.name)
def test_every_controller_can_be_made(make: type[Controller]) -> None:
    client = Client(ClientConfig(server="https://127.0.0.1"), user_agent="suite")
    context = Context(
        client=client,
        informers=Factory(client),
        recorder=lambda component: Recorder(client, component=component),
        settings=Settings(),
    )
    assert make(context).name == make.name
