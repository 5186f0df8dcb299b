# What pasvgate needs from Debian 12, in one place. Sourced by deploy/run.sh and tests/run.sh.

build_packages=(g++ meson ninja-build pkg-config cmake libuv1-dev libseccomp-dev nlohmann-json3-dev prometheus-cpp-dev
  libcivetweb-dev libspdlog-dev libcli11-dev libssl-dev doctest-dev)
demo_packages=(curl lftp python3)
test_packages=(python3 dpkg-dev curl lftp wget ncftp tnftp perl libio-socket-ssl-perl iproute2 nftables iptables python3-jsonschema python3-yaml strace mandoc man-db
  groff-base zsh fish prometheus buildah podman runc debootstrap chromium clang-19 clang-tidy-19 clang-format-19
  libclang-rt-19-dev)

# Node from elsewhere is as good as Debian's, and often excludes it.
command -v npm >/dev/null || test_packages+=(nodejs npm)

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs what isn't installed yet, and nothing that is only recommended.
install_packages() {
  local package missing=()
  for package in "$@"; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
      missing+=("$package")
    fi
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing: ${missing[*]}" >&2
  as_root apt-get -qq update &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >&2
}

# The package lists, where a machine was never updated: `apt-get download` wants them.
have_package_lists() {
  [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -print -quit)" ] || as_root apt-get -qq update
}
