"""`python -m components.hosts up|down|list|off|on LAB [COUNT|NAME]`: plain hosts from the image, with no role on them.

For trying something on a host by hand, away from any stack: LAB takes the place of the stack's name.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.hosts import leftovers, machine_containers, networks
from components.hosts.labs import Lab
from components.setup.errors import SetupError
from images.machine import recipes, trees

_VERBS = {
    "up": "boot COUNT hosts",
    "down": "delete the lab's hosts and network",
    "list": "print the lab's hosts",
    "off": "pull the plug of a host",
    "on": "start a host that is off",
}


def main() -> int:
    """Run one verb; the hosts of the lab are printed one a line, with the command that reaches each."""
    parser = argparse.ArgumentParser(prog="python -m components.hosts", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in _VERBS.items():
        verbs.add_parser(verb, help=text).add_argument("lab")
    verbs.choices["up"].add_argument("count", type=int)
    for verb in ("off", "on"):
        verbs.choices[verb].add_argument("name")
    arguments = parser.parse_args()
    try:
        _run(arguments)
    except SetupError as error:
        sys.stderr.write(f"keelson: {error}\n")
        return 1
    return 0


def _run(arguments: argparse.Namespace) -> None:
    lab = Lab(clone=Path(__file__).parents[2], stack=arguments.lab)
    match arguments.verb:
        case "up":
            image = str(trees.tree(recipes.load()))
            network = networks.ensure(lab)
            specs = [
                machine_containers.Spec(name=f"{lab.stack}-node-{index + 1}", address=str(address), image=image)
                for index, address in enumerate(network.hosts()[: arguments.count])
            ]
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda spec: machine_containers.create(lab, spec), specs))
        case "down":
            for name in machine_containers.names(lab):
                machine_containers.delete(lab, name)
            networks.delete(lab)
            for leftover in leftovers.find(lab.clone):
                leftovers.clear(leftover)
            return
        case "off":
            machine_containers.power_off(lab, arguments.name)
        case "on":
            machine_containers.power_on(lab, arguments.name)
    for name in machine_containers.names(lab):
        state = machine_containers.read(lab, name)
        if state is not None:
            known = lab.hosts_directory / name / "known_hosts"
            power = f"on (PID {state.leader})" if state.running else "off"
            reach = f"ssh -i {state.host.private_key_path} -o UserKnownHostsFile={known} root@{state.host.address}"
            sys.stdout.write(f"{name}  {state.host.address}  {power}  {reach}\n")


if __name__ == "__main__":
    sys.exit(main())
