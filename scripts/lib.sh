# shellcheck shell=bash
# What the scripts share: messages, packages, the toolchain, processes, and cleaning up after themselves.
# Sourced by bash scripts that ran `set -euo pipefail`; they stand in the repository's root afterwards.

[ -z "${TSONAMI:-}" ] || TSONAMI=$(realpath -- "$TSONAMI")
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit

if [ -t 1 ]; then BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'; else BOLD='' RED='' GREEN='' PLAIN=''; fi
step() { printf '%s==> %s%s\n' "$BOLD" "$*" "$PLAIN"; }
note() { printf '    %s\n' "$*"; }
good() { printf '%s    %s%s\n' "$GREEN" "$*" "$PLAIN"; }
fail() { printf '%serror: %s%s\n' "$RED" "$*" "$PLAIN" >&2; exit 1; }

# ---------------------------------------------------------------------------------------------------------------
# Cleaning up: whatever happens, the last thing registered is undone first. A trap waits for the command in the
# foreground, so what takes long runs through `attend`, which a signal interrupts at once.

CLEANUPS=()
on_exit() { CLEANUPS+=("$*"); }

clean_up() {
    local status=$? i
    trap - EXIT
    trap '' INT TERM HUP # A second Ctrl-C must not leave half of it behind.
    [ -z "$ATTENDED" ] || stop "$ATTENDED"
    for ((i = ${#CLEANUPS[@]} - 1; i >= 0; i--)); do
        eval "${CLEANUPS[i]}" || printf 'warning: clean-up failed: %s\n' "${CLEANUPS[i]}" >&2
    done
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# A private folder, removed at the end.
scratch_folder() {
    SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/tsonami.XXXXXX")
    on_exit "rm -rf '$SCRATCH'"
}

# stop PID...: asks a process that this script started to end, and insists after five seconds.
stop() {
    local pid waited
    for pid in "$@"; do
        kill -TERM "$pid" 2>/dev/null || continue
        waited=0
        while kill -0 "$pid" 2>/dev/null && [ "$waited" -lt 50 ]; do
            sleep 0.1
            waited=$((waited + 1))
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

# attend PID: waits for a background process and returns its status. A signal interrupts the wait, and the process
# is then stopped first of all.
ATTENDED=
attend() {
    local status=0
    ATTENDED=$1
    wait "$1" || status=$?
    ATTENDED=
    return $status
}

# wait_until SECONDS COMMAND...: repeats a command until it succeeds; false when the time is over.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

# ---------------------------------------------------------------------------------------------------------------
# Packages

BUILD_PACKAGES=(build-essential pkg-config libdpdk-dev libclang-dev clang)
FEDORA_BUILD_PACKAGES='gcc make pkgconf dpdk-devel clang-devel'

# Runs a command as root: directly, or through sudo when that asks nothing.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

apt_install() {
    # An install that also upgrades systemd has its clean-up delete archives from the temporary folder before they
    # are unpacked: give apt a folder of its own, and mend and repeat once.
    # shellcheck disable=SC2016
    as_root env DEBIAN_FRONTEND=noninteractive bash -euc '
        TMPDIR=$(mktemp -d /var/cache/tsonami-apt.XXXXXX)
        chmod 755 "$TMPDIR"
        export TMPDIR
        trap "rm -rf \"$TMPDIR\"" EXIT
        apt-get update -q || true
        apt-get install -qy --no-install-recommends "$@" || {
            apt-get -f install -qy
            apt-get install -qy --no-install-recommends "$@"
        }' apt "$@"
}

# need_packages FEDORA_NAMES DEBIAN_NAME...: installs what is missing, or says what to install and stops.
need_packages() {
    local fedora=$1 missing=() package log
    shift
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        step "Packages: this is neither Debian nor Ubuntu, so nothing is installed for you"
        note "Should anything be missing below: sudo dnf install $fedora"
        return
    fi
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    step "Installing ${missing[*]}"
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
        fail "installing needs root. Run this, then try again:
    sudo apt-get install -y ${missing[*]}"
    fi
    log=$(mktemp)
    apt_install "${missing[@]}" >"$log" 2>&1 &
    attend $! || { cat "$log" >&2; rm -f "$log"; fail "could not install ${missing[*]}"; }
    rm -f "$log"
}

# ---------------------------------------------------------------------------------------------------------------
# The toolchain

need_cargo() {
    local want have
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    [ -x "$(command -v cargo)" ] || PATH=$PATH:$HOME/.cargo/bin
    if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
        fail "cargo is missing. Install Rust $want or newer, then try again:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\""
    fi
    have=$(rustc --version | awk '{print $2}')
    if [ "$(printf '%s\n%s\n' "$want" "${have%%-*}" | sort -V | head -n 1)" != "$want" ]; then
        fail "rustc is $have, but $want or newer is needed. Run this, then try again:
    rustup update stable && rustup default stable"
    fi
}

# build_release: builds the program unless TSONAMI names one, and sets TSONAMI to it.
build_release() {
    if [ -n "${TSONAMI:-}" ]; then
        [ -x "$TSONAMI" ] || fail "TSONAMI=$TSONAMI is not an executable file"
        return
    fi
    need_packages "$FEDORA_BUILD_PACKAGES" "${BUILD_PACKAGES[@]}"
    need_cargo
    step "Building tsonami (release; the first time takes minutes)"
    cargo build --release --locked --quiet -p tsonami-cli &
    attend $! || fail "the build failed"
    TSONAMI=$(target_folder)/release/tsonami
    export TSONAMI
}

target_folder() {
    cargo metadata --format-version 1 --no-deps --offline | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# ---------------------------------------------------------------------------------------------------------------
# Namespaces: made by unshare, so that they are gone with the last process in them, whatever happens to the script.

# enter_namespace ARGUMENT...: runs this script again, with these arguments, in a network namespace of its own; an
# ordinary user becomes root of a user namespace for it. Returns only once inside.
enter_namespace() {
    local unshare=(unshare --net)
    if [ -n "${TSONAMI_INSIDE:-}" ]; then
        unset TSONAMI_INSIDE
        return
    fi
    if [ "$(id -u)" != 0 ]; then
        unshare+=(--user --map-root-user)
        "${unshare[@]}" true 2>/dev/null || fail "this kernel does not let ordinary users make namespaces.
    Run this as root: sudo $0 $*"
    fi
    export TSONAMI_INSIDE=1
    exec "${unshare[@]}" -- "$0" "$@"
}

# ---------------------------------------------------------------------------------------------------------------
# Hugepages

HUGEPAGES=/proc/sys/vm/nr_hugepages

# need_hugepages N: reserves N hugepages more than there are, and gives them back at the end. Counted, not set, so that
# several scripts at once do not take each other's.
need_hugepages() {
    local want=$1 free
    [ "$(id -u)" = 0 ] || fail "hugepages need root. Run this as root, or reserve $want pages yourself:
    echo $want | sudo tee $HUGEPAGES"
    on_exit "add_hugepages -$want"
    add_hugepages "$want"
    free=$(awk '/^HugePages_Free:/ {print $2}' /proc/meminfo)
    [ "$free" -ge "$want" ] || fail "asked the kernel for $want hugepages and got $free: memory is fragmented or short.
    Reboot, or reserve them at boot: hugepages=$want on the kernel's command line"
}

add_hugepages() {
    local sum=$(($(cat $HUGEPAGES) + $1))
    echo $((sum > 0 ? sum : 0)) >$HUGEPAGES
}
