#!/bin/sh
# What must be there before Python can take over: Debian packages, uv, and the virtual environment that uv.lock describes.
# Written for the shell of a bare Debian. Once done it costs a few milliseconds: a stamp in the virtual environment holds
# the digest of everything it was made from. All notes go to standard error, since some verbs answer on standard output.
set -eu

uv_version=0.13.9

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/keelson
venv=$root/.venv
export HOME="${HOME:-/root}"

say() { printf 'keelson: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# A package is asked for by a command that it brings, so that other means of installing it count too.
missing_packages() {
    while read -r command package; do
        have "$command" || printf '%s ' "$package"
    done <<LIST
python3 python3
curl curl
git git
flock util-linux
ip iproute2
mmdebstrap mmdebstrap
nft nftables
ssh openssh-client
ssh-keygen openssh-client
systemd-nspawn systemd-container
zstd zstd
LIST
    [ -e /etc/ssl/certs/ca-certificates.crt ] || printf 'ca-certificates '
    # Debian splits ensurepip off python3; without it the system's python3 makes no virtual environment. Asked only when
    # one is to be made, since starting Python takes longer than all of the rest.
    if [ -z "$prepared" ] && ! /usr/bin/python3 -c 'import ensurepip' 2>/dev/null; then printf 'python3-venv '; fi
}

install_packages() {
    have apt-get || fail "missing: $*: this machine has no apt-get; install them by its own means"
    [ "$(id -u)" = 0 ] || fail "missing: $*: run as root: apt-get install $*"
    say "installing Debian packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q -o DPkg::Lock::Timeout=300 >&2 || fail "apt-get update failed: is a Debian mirror in reach?"
    apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" >&2 ||
        fail "apt-get could not install $*: see its lines above"
}

# The system's own Python first: another one on PATH may vanish with its version manager.
find_python() {
    for python in /usr/bin/python3 python3; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    fail "python3 is older than 3.11: use Debian 12 or newer, or put a newer python3 on PATH"
}

find_uv() {
    if have uv && [ "$(uv --version 2>/dev/null | cut -d' ' -f2)" = "$uv_version" ]; then
        command -v uv
        return
    fi
    private=$cache/uv/$uv_version
    if [ ! -x "$private/bin/uv" ]; then
        say "installing uv $uv_version"
        rm -rf "$private"
        "$1" -m venv "$private" >&2 || fail "$1 cannot make a virtual environment: see its lines above"
        "$private/bin/python" -m pip install -q --no-deps --require-hashes --only-binary :all: \
            -r "$root/components/setup/uv-requirements.txt" >&2 ||
            fail "uv could not be installed: is a Python package index in reach (pip's configuration)?"
    fi
    printf '%s\n' "$private/bin/uv"
}

make_environment() {
    mkdir -p "$cache"
    (umask 077 && mkdir -p "$root/.state")
    exec 9>"$root/.state/environment.lock"
    flock -n 9 || {
        say "another run prepares the virtual environment; waiting for it"
        flock 9
    }
    if [ "$(cat "$venv/.inputs" 2>/dev/null)" = "$1" ]; then return; fi
    python=$(find_python)
    exec 8>"$cache/uv.lock"
    flock 8
    uv=$(find_uv "$python")
    exec 8>&-
    say "preparing the virtual environment"
    # Scripts in a virtual environment name its path, so one that came along with a moved clone is of no use.
    if [ -d "$venv" ] && ! grep -qxF "VIRTUAL_ENV='$venv'" "$venv/bin/activate" 2>/dev/null &&
        ! grep -qxF "VIRTUAL_ENV=$venv" "$venv/bin/activate" 2>/dev/null; then rm -rf "$venv"; fi
    unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT
    export UV_PYTHON_DOWNLOADS=never
    if [ ! -x "$venv/bin/python" ]; then
        "$uv" venv -q --clear --python "$python" "$venv" >&2 || fail "uv could not make $venv: see its lines above"
    fi
    "$uv" sync --frozen --project "$root" --python "$venv/bin/python" >&2 ||
        fail "uv could not install what uv.lock names: is a Python package index in reach (UV_INDEX_URL)?"
    printf '%s\n' "$1" >"$venv/.inputs"
    exec 9>&-
}

inputs=$(cd "$root" && cat components/setup/bootstrap.sh components/setup/uv-requirements.txt pyproject.toml uv.lock |
    sha256sum | cut -d' ' -f1)\ $root
prepared=
[ "$(cat "$venv/.inputs" 2>/dev/null)" != "$inputs" ] || prepared=yes
packages=$(missing_packages)
# shellcheck disable=SC2086 # a list of words
[ -z "$packages" ] || install_packages $packages
[ -n "$prepared" ] || make_environment "$inputs"

cd "$root"
exec "$venv/bin/python" -m components.setup "$@"
