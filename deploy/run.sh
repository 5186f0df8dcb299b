#!/bin/bash
# Builds pasvgate and runs it in the foreground.
#   deploy/run.sh [arguments of pasvgate run …]
#   deploy/run.sh              a demo on loopback: vsftpd that advertises 192.168.1.10, the gateway in front of it
set -eu
here=$(pwd)
cd "$(dirname "$0")/.."
. deploy/packages.sh

install_packages "${build_packages[@]}"
[ -f build/build.ninja ] || meson setup build --buildtype=release -Dtests=false >&2
ninja -C build src/pasvgate >&2
pasvgate=$PWD/build/src/pasvgate

if [ $# -gt 0 ]; then
  cd "$here"
  exec "$pasvgate" run "$@"
fi

install_packages "${demo_packages[@]}"
have_package_lists
# The server gets an /etc of its own with the demo's user, which takes root.
as_root env PASVGATE="$pasvgate" PYTHONDONTWRITEBYTECODE=1 python3 deploy/demo.py
