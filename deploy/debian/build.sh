#!/bin/bash
# Makes pasvgate_VERSION_ARCHITECTURE.deb for the Debian that it runs on, and prints its path.
#   deploy/debian/build.sh [--build FOLDER] [--revision N] [OUTPUT FOLDER]
# FOLDER is a build that is there already; without it build-deb is made, a release build.
set -eu
umask 022
here=$(pwd)
cd "$(dirname "$0")/../.."
source=$PWD
. deploy/packages.sh

build='' revision=1 output=.
while [ $# -gt 0 ]; do
  case "$1" in
    --build) build=$(cd "$here" && realpath "$2"); shift 2 ;;
    --revision) revision=$2; shift 2 ;;
    -*) sed -n '2,4s/^# \?//p' "$0" >&2; exit 2 ;;
    *) output=$1; shift ;;
  esac
done
output=$(cd "$here" && realpath "$output")

if [ -z "$build" ]; then
  install_packages "${build_packages[@]}" dpkg-dev
  build=$source/build-deb
  [ -f "$build/build.ninja" ] || meson setup "$build" --prefix=/usr --buildtype=release -Dtests=false >&2
  ninja -C "$build" >&2
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
DESTDIR=$root/install meson install -C "$build" --no-rebuild --quiet >&2
prefix=$(meson introspect --buildoptions "$build" |
  python3 -c 'import json, sys; print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')
package=$root/package
mkdir -p "$package"
mv "$root/install$prefix" "$package/usr"
strip --strip-unneeded "$package/usr/bin/pasvgate"
find "$package/usr/share/man" -type f -exec gzip -9n {} +

put() { install -D -m 644 "$source/deploy/$1" "$package/$2"; }
put systemd/pasvgate.service usr/lib/systemd/system/pasvgate.service
put systemd/sysusers.conf usr/lib/sysusers.d/pasvgate.conf
put systemd/tmpfiles.conf usr/lib/tmpfiles.d/pasvgate.conf
put systemd/modules-load.conf usr/lib/modules-load.d/pasvgate.conf
put systemd/tls.conf usr/share/doc/pasvgate/examples/tls.conf
put debian/copyright usr/share/doc/pasvgate/copyright
for file in README.md pasvgate.json minimal.json; do put ../conf/$file usr/share/doc/pasvgate/examples/$file; done
install -D -m 640 "$source/deploy/debian/pasvgate.json" "$package/etc/pasvgate/pasvgate.json"

version=$("$package/usr/bin/pasvgate" --version | sed 's/.* //')-$revision
architecture=$(dpkg --print-architecture)
# dpkg-shlibdeps wants the folder of a source package.
mkdir -p "$root/debian"
printf 'Source: pasvgate\n\nPackage: pasvgate\nArchitecture: any\n' >"$root/debian/control"
libraries=$(cd "$root" && dpkg-shlibdeps -O package/usr/bin/pasvgate 2>/dev/null | sed -n 's/^shlibs:Depends=//p')

mkdir "$package/DEBIAN"
for script in postinst prerm postrm; do install -m 755 "deploy/debian/$script" "$package/DEBIAN/$script"; done
echo /etc/pasvgate/pasvgate.json >"$package/DEBIAN/conffiles"
(cd "$package" && find usr etc -type f -exec md5sum {} +) >"$package/DEBIAN/md5sums"
cat >"$package/DEBIAN/control" <<CONTROL
Package: pasvgate
Version: $version
Architecture: $architecture
Maintainer: pasvgate developers <pasvgate@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$package" | cut -f1)
Depends: $libraries, systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles, init-system-helpers
Section: net
Priority: optional
Description: NAT-aware FTP gateway
 Stands between FTP servers on private addresses and the internet, relays the
 control channel, rewrites every address that FTP carries in it, and maps each
 data port through its own pool of public ports. Speaks FTPS for servers that
 do not.
CONTROL
dpkg-deb --root-owner-group --build "$package" "$output/pasvgate_${version}_$architecture.deb" >&2
echo "$output/pasvgate_${version}_$architecture.deb"
