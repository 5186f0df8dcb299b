"""HAProxy in front of the gateway: passes the control port and the passive ports, with a PROXY header each."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import servers
from waiting import accepts, free_port, until

PACKAGES = ["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1", "libpcre2-8-0", "libpcre2-posix3"]
SOURCE = "127.0.0.9"  # that the gateway sees
HOST, HOST6 = "127.0.0.7", "::1"


def unpacked():
    return servers.unpacked(PACKAGES, "haproxy")


class HaProxy:
    """`with HaProxy(gateway, "v1") as proxy:` serves at `proxy.address` and `proxy.address6`. The passive ports are
    those of the gateway, at another address."""

    def __init__(self, gateway, version):
        send = {"v1": "send-proxy", "v2": "send-proxy-v2"}[version]
        port = free_port(HOST)
        self.address, self.address6 = (HOST, port), (HOST6, port)
        ports = f"{gateway.first_port}-{gateway.first_port + gateway.ports - 1}"
        root = unpacked()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pasvgate-haproxy-"))
        config = self.folder / "haproxy.cfg"
        config.write_text(f"""
global
  maxconn 200
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  source {SOURCE}
listen control
  bind {HOST}:{port}
  bind [{HOST6}]:{port}
  server gateway 127.0.0.1:{gateway.port} {send}
listen data
  bind {HOST}:{ports}
  bind [{HOST6}]:{ports}
  server gateway 127.0.0.1 {send}
""", encoding="utf-8")
        self.log_path = self.folder / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [root / "usr/sbin/haproxy", "-db", "-f", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu")})
        try:
            until(self._listens, 10, lambda: f"HAProxy listens\n{self.log_path.read_text()}")
        except BaseException:
            self.stop()
            raise

    def _listens(self):
        assert self.process.poll() is None, self.log_path.read_text()
        return accepts(self.address)

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
