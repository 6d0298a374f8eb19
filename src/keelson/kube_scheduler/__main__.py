"""The kube-scheduler daemon: flags, configuration file, leader election, and the scheduler of the leader."""

from __future__ import annotations

import argparse
import asyncio

from keelson.client import kubeconfigs, leaderships
from keelson.client.rest import Client
from keelson.component_base import configurations, daemons, flags, logs, serving
from keelson.component_base.daemons import FatalError

from .schedulers import Scheduler

_AGENT = "kube-scheduler"
_API_VERSIONS = ("kubescheduler.config.k8s.io/v1",)


def parser() -> flags.Parser:
    """The daemon's flags, under upstream's names."""
    result = flags.Parser(_AGENT, "Finds a node for each pod.")
    result.text("--config", help="a KubeSchedulerConfiguration file; its values go before flags")
    result.text("--kubeconfig", help="file with the API server's address and credentials")
    result.text("--authentication-kubeconfig", help="accepted; /metrics is shown to whom --client-ca-file trusts")
    result.text("--authorization-kubeconfig", help="accepted, as above")
    serving.add_flags(result, 10259)
    leaderships.add_flags(result, _AGENT)
    result.boolean("--profiling", False, help="accepted; there is no profiling endpoint")
    logs.add_flags(result)
    return result


def configure(options: argparse.Namespace) -> str:
    """Merge the configuration file into the options; the scheduler's name. FatalError names file and field."""
    if not options.config:
        return "default-scheduler"
    try:
        document = configurations.load(options.config, kind="KubeSchedulerConfiguration", api_versions=_API_VERSIONS)
        fields = configurations.Fields(options.config, document)
        connection = fields.child("clientConnection")
        options.kubeconfig = connection.get("kubeconfig", str, options.kubeconfig)
        # Flow control is the API server's; encodings are negotiated.
        connection.ignore("acceptContentTypes", "contentType", "qps", "burst")
        election = fields.child("leaderElection")
        options.leader_elect = election.get("leaderElect", bool, options.leader_elect)
        for name, option in (
            ("leaseDuration", "leader_elect_lease_duration"),
            ("renewDeadline", "leader_elect_renew_deadline"),
            ("retryPeriod", "leader_elect_retry_period"),
        ):
            setattr(options, option, election.seconds(name, getattr(options, option)))
        for name in ("resourceName", "resourceNamespace", "resourceLock"):
            option = "leader_elect_resource_" + name.removeprefix("resource").lower()
            setattr(options, option, election.get(name, str, getattr(options, option)))
        # Every node is looked at in one vector operation, so there is nothing to sample or to run in parallel.
        fields.ignore("parallelism", "percentageOfNodesToScore", "podInitialBackoffSeconds", "podMaxBackoffSeconds")
        profiles = fields.get("profiles", list, [])
        fields.close()
    except configurations.ConfigurationError as error:
        raise FatalError(str(error)) from error
    if len(profiles) > 1 or any(set(found) - {"schedulerName"} for found in profiles):
        raise FatalError(f"{options.config}.profiles: one profile with a schedulerName alone is supported")
    return str(profiles[0].get("schedulerName") or "default-scheduler") if profiles else "default-scheduler"


async def run(options: argparse.Namespace, stop: asyncio.Event) -> None:
    """Serve health and metrics, and schedule while leading."""
    name = configure(options)
    try:
        config = kubeconfigs.load(options.kubeconfig) if options.kubeconfig else kubeconfigs.in_cluster()
    except kubeconfigs.KubeconfigError as error:
        raise FatalError(f"--kubeconfig: {error}") from error

    async def work(client: Client) -> None:
        await Scheduler(client, name=name).run()

    await leaderships.serve(options, config, stop, work, agent=_AGENT)


def main() -> None:
    """Entry point."""
    options = parser().parse_args()
    logs.setup(options.v, options.logging_format)
    daemons.run(lambda stop: run(options, stop))


if __name__ == "__main__":
    main()
