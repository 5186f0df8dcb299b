"""The fleet of deploy/fleet-hosts in network namespaces, with its files as they are.

    clients 203.0.113.100-129 --- 203.0.113.10 edge 10.0.0.1 --- gateways 10.0.0.11-13
                                  HAProxy, nftables          --- server 10.0.0.20
"""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

# pylint: disable=wrong-import-position
import haproxy
import network
import servers
from harness import ROOT, Gateway, read_config
from network import ip
from waiting import accepts, seconds, until

FILES = ROOT / "deploy/fleet-hosts"
PUBLIC, EDGE, SERVER = "203.0.113.10", "10.0.0.1", "10.0.0.20"
GATEWAYS = ["10.0.0.11", "10.0.0.12", "10.0.0.13"]
CLIENTS = [f"203.0.113.{100 + i}" for i in range(30)]
PORTS_EACH = 100


class Vsftpd(servers.Vsftpd):
    """Slow, so that transfers are under way for a while: 2 s for 200 kB."""

    host = SERVER

    def command(self):
        program, config = super().command()
        config.write_text(config.read_text(encoding="utf-8") + "local_max_rate=100000\n", encoding="utf-8")
        return [program, config]


class Fleet(network.Network):
    HOSTS = {"client": CLIENTS, "server": [SERVER], **{f"gateway{i}": [address] for i, address in enumerate(GATEWAYS)}}

    def _build(self):
        for host in ("edge", *self.HOSTS):
            ip("netns", "add", self.name(host))
            self.spaces.append(self.name(host))
            ip("-n", self.name(host), "link", "set", "lo", "up")
        edge = self.name("edge")
        for bridge, address in (("outside", PUBLIC), ("inside", EDGE)):
            ip("-n", edge, "link", "add", bridge, "type", "bridge")
            ip("-n", edge, "address", "add", f"{address}/24", "dev", bridge)
            ip("-n", edge, "link", "set", bridge, "up")
        for host, addresses in self.HOSTS.items():
            space = self.name(host)
            ip("-n", edge, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("-n", edge, "link", "set", host, "master", "outside" if host == "client" else "inside", "up")
            for address in addresses:
                ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            if host.startswith("gateway"):
                ip("-n", space, "route", "add", "default", "via", EDGE)
        self.run("edge", lambda: open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii").write("1"))
        self.run("edge", lambda: subprocess.run(["nft", "-f", FILES / "nftables.conf"], check=True, capture_output=True))

    def start_gateway(self, index, server):
        """As its host would: the index is the one thing that they don't have in common."""
        config = {**read_config(FILES / "pasvgate.json"), "log": {"format": "json", "level": "info"}}
        config["backends"]["default"]["servers"] = [server.address]
        config["passive_ports"]["slice"]["index"] = index
        return self.run(f"gateway{index}", lambda: Gateway([], **config))

    def start_proxy(self, folder):
        """HAProxy on the edge, when it takes connections; its process."""
        root, log = haproxy.unpacked(), pathlib.Path(folder, "haproxy.log")

        def listens(process):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            return accepts((PUBLIC, 21))

        def start():
            with open(log, "wb") as file:
                process = subprocess.Popen(
                    [root / "usr/sbin/haproxy", "-db", "-f", FILES / "haproxy.cfg"], stdin=subprocess.DEVNULL, stdout=file,
                    stderr=file, env={**os.environ, "LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu")})
            try:
                until(lambda: listens(process), 10, "HAProxy listens")
            except BaseException:
                process.kill()
                process.wait(seconds(5))
                raise
            return process
        return self.run("edge", start)
