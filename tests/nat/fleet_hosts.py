"""The fleet of deploy/fleet-hosts in network namespaces, with its files as they are.

    clients 203.0.113.100-129 --- 203.0.113.10 edge 10.0.0.1 --- gateways 10.0.0.11-13
                                  HAProxy, nftables          --- server 10.0.0.20

The edge has addresses of its own, as one of two, and the shared ones beside them, as keepalived would have added them.
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

FILES, KUBERNETES = ROOT / "deploy/fleet-hosts", ROOT / "deploy/kubernetes/fleet"
PUBLIC, EDGE, SERVER = "203.0.113.10", "10.0.0.1", "10.0.0.20"
EDGE_OWN = {"outside": "203.0.113.12", "inside": "10.0.0.2"}
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
            for one in (EDGE_OWN[bridge], address):
                ip("-n", edge, "address", "add", f"{one}/24", "dev", bridge)
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
        for _ in range(2):  # as at a reload
            self.run("edge", lambda: subprocess.run(["nft", "-f", FILES / "nftables.conf"], check=True, capture_output=True))
        rules = self.run("edge", lambda: subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True))
        assert rules.stdout.count("dnat to") == 1, rules.stdout

    def start_gateway(self, index, server):
        """As its host would: the index is the one thing that they don't have in common."""
        config = {**read_config(FILES / "pasvgate.json"), "log": {"format": "json", "level": "info"}}
        config["backends"]["default"]["servers"] = [server.address]
        config["passive_ports"]["slice"]["index"] = index
        return self.run(f"gateway{index}", lambda: Gateway([], **config))

    def start_proxy(self, folder):
        return self.run("edge", lambda: start_haproxy(FILES / "haproxy.cfg", (PUBLIC, 21), folder))


class Cluster(network.Network):
    """One namespace with a loopback: pods and Services of deploy/kubernetes/fleet are addresses in it."""

    EDGE = "127.0.0.20"
    PODS = [f"127.0.1.{i}" for i in range(1, 4)]

    def _build(self):
        ip("netns", "add", self.name("cluster"))
        self.spaces.append(self.name("cluster"))
        ip("-n", self.name("cluster"), "link", "set", "lo", "up")

    def start_gateway(self, index, server):
        config = {**read_config(KUBERNETES / "pasvgate.json"), "log": {"format": "json"}, "admin": {"address": "127.0.0.1:0"}}
        config["listeners"] = [{**config["listeners"][0], "address": f"{self.PODS[index]}:2121", "proxy_from": [self.EDGE]}]
        config["passive_ports"].update(slice={"index": index, "of": 10}, proxy_from=[self.EDGE])
        config["backends"]["default"]["servers"] = [server.address]
        config["advertise"]["address"] = self.EDGE
        return self.run("cluster", lambda: Gateway([], **config))

    def start_proxy(self, folder):
        """The edge, whose names are the pods' addresses here; the choice of the Service for the control port is HAProxy's."""
        text = (KUBERNETES / "haproxy.cfg").read_text(encoding="utf-8").replace("bind :", f"bind {self.EDGE}:")
        text = text.replace("mode tcp\n", f"mode tcp\n  source {self.EDGE}\n", 1)
        for index, address in enumerate(self.PODS):
            text = text.replace(f"pasvgate-{index}.ftp.svc.cluster.local", address)
        servers_ = "".join(f"  server pod{index} {address}:2121\n" for index, address in enumerate(self.PODS))
        text = text.replace("  server fleet pasvgate.ftp.svc.cluster.local:2121\n", servers_)
        file = pathlib.Path(folder, "haproxy.cfg")
        file.write_text(text, encoding="utf-8")
        return self.run("cluster", lambda: start_haproxy(file, (self.EDGE, 2121), folder))


def start_haproxy(config, address, folder):
    """Its process, when it takes connections."""
    root, log = haproxy.unpacked(), pathlib.Path(folder, "haproxy.log")
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [root / "usr/sbin/haproxy", "-db", "-f", config], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            env={**os.environ, "LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu")})

    def listens():
        assert process.poll() is None, log.read_text(encoding="utf-8")
        return accepts(address)
    try:
        until(listens, 10, "HAProxy listens")
    except BaseException:
        process.kill()
        process.wait(seconds(5))
        raise
    return process
