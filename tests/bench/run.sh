#!/bin/bash
# Measures pasvgate beside a direct connection, HAProxy (TCP mode, with and without splicing), ProFTPD's mod_proxy and a
# bare splice relay, all in one run: a table, and with --json FILE the numbers.
#   tests/bench/run.sh [--rounds N] [--only MODE,…] [--idle N] [--json FILE]
set -eu
cd "$(dirname "$0")/../.."
if [ "$(id -u)" != 0 ]; then exec sudo -E "$0" "$@"; fi
. deploy/packages.sh

install_packages "${build_packages[@]}" python3 openssl
[ -f build-bench/build.ninja ] || meson setup build-bench --buildtype=release -Dtests=false -Dbench=true >&2
ninja -C build-bench >&2

# The others are unpacked, not installed: nothing of theirs may start here.
servers=build-bench/servers
packages=(haproxy ftp-proxy libwrap0 proftpd-core proftpd-mod-proxy proftpd-mod-crypto liblua5.3-0 libopentracing-c-wrapper0 libopentracing1
  libhiredis0.14 libmemcached11 libmemcachedutil2 libhashkit2 libpcre2-posix3 libpcre2-8-0 libsodium23 libncursesw6 libidn2-0
  libcap2 libsqlite3-0)
if [ ! -f "$servers/complete" ]; then
  have_package_lists
  mkdir -p "$servers/packages"
  (cd "$servers/packages" && apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}")
  for package in "$servers"/packages/*.deb; do dpkg -x "$package" "$servers/root"; done
  touch "$servers/complete"
fi
exec env PYTHONDONTWRITEBYTECODE=1 python3 tests/bench/bench.py "$@"
