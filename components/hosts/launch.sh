#!/bin/sh
# Start a machine container and leave it running: become its cgroup, enter the lab's network, and hand over to nspawn.
#
# usage: launch.sh CGROUP NAMESPACE LOWER UPPER WORK ROOT LOG -- NSPAWN-ARGUMENT...
#
# With CGROUP "-" the caller (a unit of the service manager) has made the cgroup and keeps the process; otherwise this
# script returns as soon as a process that outlives it is in CGROUP. What that process says goes to LOG.
# Nothing mounted here is seen outside: the mount namespace is the container's own and dies with it.
set -eu

case "$1" in
    --mounted) ;;
    --entered)
        shift
        # Slave: mounts that the operator takes away leave here too, so that no host pins them.
        exec nsenter --net="/run/netns/$2" unshare --mount --propagation slave -- "$0" --mounted "$@"
        ;;
    -) exec "$0" --entered "$@" ;;
    *)
        # Not `exec setsid`: the caller waits for this process, and must not wait for the container.
        echo "$$" >"$1/cgroup.procs"
        setsid --fork "$0" --entered "$@" </dev/null >>"$7" 2>&1
        exit
        ;;
esac

shift
lower=$3 upper=$4 work=$5 root=$6
shift 8

# nspawn looks for cgroup v2 here, whatever the machine has mounted.
umount --recursive --lazy /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$root"

export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
# Full write access would make networkd wait for a udev that no container has.
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
# containerd inside installs its own filters; a second one here would forbid it what it needs for that.
export SYSTEMD_SECCOMP=0
exec systemd-nspawn --directory="$root" "$@"
