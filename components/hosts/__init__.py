"""Hosts: what roles are converged on. One module per kind of host; every kind gives the same `models.Host`.

A lab is one stack of one clone: `labs.Lab(clone, stack)`. Its network comes first (`networks.ensure`), then its hosts
(`machine_containers.create`), which answer SSH when the call returns:

    lab = labs.Lab(clone=Path("."), stack="dev")
    network = networks.ensure(lab)
    state = machine_containers.create(lab, machine_containers.Spec(
        name="dev-cp-1", address=str(network.hosts()[0]), image=trees.tree(recipes.load())))

From a shell, for trying something on plain hosts: `python -m components.hosts up try 2`, then `list try`, `down try`.
"""
