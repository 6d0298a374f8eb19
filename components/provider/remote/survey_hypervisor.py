"""Runs on a hypervisor: prints, as JSON, what a virtual machine can have there. Changes nothing.

The argument names the bridge that machines are to be attached to, empty for none. The answer has whether libvirt
listens, whether KVM is usable (and not merely there), whether the bridge is a bridge, and the free space for disks.
"""

import fcntl
import json
import os
import pathlib
import shutil
import sys

SOCKET = pathlib.Path("/run/libvirt/libvirt-sock")
POOLS = pathlib.Path("/var/lib/libvirt")
KVM = "/dev/kvm"
KVM_CREATE_VM = 0xAE01


def has_kvm() -> bool:
    """Whether a virtual machine can be made by KVM: its device may be there without the processor's help."""
    try:
        device = os.open(KVM, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(fcntl.ioctl(device, KVM_CREATE_VM, 0))
    except OSError:
        return False
    finally:
        os.close(device)
    return True


def main() -> None:
    """Look and tell."""
    bridge = json.load(sys.stdin)["bridge"]
    answer = {
        "libvirt": SOCKET.is_socket(),
        "kvm": has_kvm(),
        "bridge": not bridge or pathlib.Path("/sys/class/net", bridge, "bridge").is_dir(),
        "free_mebibytes": shutil.disk_usage(POOLS).free >> 20 if POOLS.is_dir() else 0,
    }
    json.dump(answer, sys.stdout)


main()
