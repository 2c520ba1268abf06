#!/usr/bin/env bash
# Installs Debian or Ubuntu packages, with sudo where needed; says what to do by hand where it can't.
set -euo pipefail
packages="$*"
as_root=""
if [ "$(id -u)" != 0 ]; then as_root="sudo"; fi
if ! command -v apt-get >/dev/null || { [ -n "$as_root" ] && ! command -v sudo >/dev/null; }; then
    echo "error: $packages is missing and can't be installed from here (apt-get or sudo not found); install it with your system's package manager, then run make again" >&2
    exit 2
fi
echo "installing $packages with apt-get"
if ! { $as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq $packages; } >/dev/null; then
    echo "error: apt-get could not install $packages; install it by hand, then run make again" >&2
    exit 2
fi
