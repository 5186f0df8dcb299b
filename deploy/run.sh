#!/bin/bash
# Builds pasvgate and runs it in the foreground.
#   deploy/run.sh [arguments of pasvgate run …]
#   deploy/run.sh              a demo on loopback: vsftpd that advertises 192.168.1.10, the gateway in front of it
#   --tls-self-signed          with either: FTPS for a first try, with a certificate that is made here and that vouches
#                              for itself (AUTH TLS is offered; --tls says otherwise)
set -eu
here=$(pwd)
cd "$(dirname "$0")/.."
. deploy/packages.sh

arguments=() self_signed=
for argument in "$@"; do
  if [ "$argument" = --tls-self-signed ]; then self_signed=yes; else arguments+=("$argument"); fi
done

install_packages "${build_packages[@]}"
[ -f build/build.ninja ] || meson setup build --buildtype=release -Dtests=false >&2
ninja -C build src/pasvgate >&2
pasvgate=$PWD/build/src/pasvgate

tls=()
if [ -n "$self_signed" ]; then
  install_packages openssl
  folder=$PWD/build/tls-self-signed
  if [ ! -f "$folder/tls.crt" ]; then
    mkdir -p "$folder"
    (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=localhost \
      -addext "subjectAltName=DNS:localhost,DNS:$(hostname),IP:127.0.0.1" \
      -keyout "$folder/tls.key" -out "$folder/tls.crt" 2>/dev/null)
  fi
  tls=(--tls-cert "$folder/tls.crt" --tls-key "$folder/tls.key")
  case " ${arguments[*]} " in *" --tls "* | *" --tls="*) ;; *) tls+=(--tls optional) ;; esac
fi

if [ ${#arguments[@]} -gt 0 ]; then
  cd "$here"
  exec "$pasvgate" run "${arguments[@]}" "${tls[@]}"
fi

install_packages "${demo_packages[@]}"
have_package_lists
# The server gets an /etc of its own with the demo's user, which takes root.
as_root env PASVGATE="$pasvgate" PYTHONDONTWRITEBYTECODE=1 python3 deploy/demo.py "${tls[@]}"
