"""A gateway host between clients inside and servers outside, in network namespaces.

    client 192.168.1.5 --- 192.168.1.1 gateway 203.0.113.1 --- server 203.0.113.10, and .66, which is on no list
    2001:db8:1::5          2001:db8:1::1       2001:db8:2::1         2001:db8:2::10

The server has no route to the inside and the host translates no addresses, so that only what the gateway itself opens gets through.
"""

import subprocess

import network
from network import ip

SERVER, SERVER6, UNLISTED = "203.0.113.10", "2001:db8:2::10", "203.0.113.66"
CLIENT = "192.168.1.5"
INSIDE, OUTSIDE, OUTSIDE6 = "192.168.1.1", "203.0.113.1", "2001:db8:2::1"
DESTINATIONS = [f"{SERVER}/32", f"{INSIDE}/32", f"{OUTSIDE}/32", "2001:db8:2::/64"]


class GatewayHost(network.Network):
    HOSTS = {"client": ("192.168.1.5", "2001:db8:1::5"), "server": (SERVER, SERVER6)}
    SIDES = {"client": ("inside", INSIDE, "2001:db8:1::1"), "server": ("outside", OUTSIDE, OUTSIDE6)}

    def _build(self):
        for host in ("gateway", *self.HOSTS):
            ip("netns", "add", self.name(host))
            self.spaces.append(self.name(host))
            ip("-n", self.name(host), "link", "set", "lo", "up")
        gateway = self.name("gateway")
        for host, (address, address6) in self.HOSTS.items():
            space = self.name(host)
            side, here, here6 = self.SIDES[host]
            ip("-n", gateway, "link", "add", side, "type", "veth", "peer", "name", "eth0", "netns", space)
            for where, device, v4, v6 in ((gateway, side, here, here6), (space, "eth0", address, address6)):
                ip("-n", where, "address", "add", f"{v4}/24", "dev", device)
                ip("-n", where, "address", "add", f"{v6}/64", "dev", device, "nodad")
                ip("-n", where, "link", "set", device, "up")
        ip("-n", self.name("server"), "address", "add", f"{UNLISTED}/24", "dev", "eth0")
        ip("-n", self.name("client"), "route", "add", "default", "via", INSIDE)
        ip("-n", self.name("client"), "route", "add", "default", "via", "2001:db8:1::1")
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self.run("gateway", lambda name=name: open(f"/proc/sys/net/{name}", "w", encoding="ascii").write("1"))

    def _rules(self, text):
        self.run("gateway", lambda: subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True,
                                                   capture_output=True))

    def redirect(self, control_port, to, passive_ports):
        """As conf/README.md has it."""
        self._rules(f"""
table inet pasvgate {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    iifname inside tcp dport {control_port} redirect to :{to}
    iifname inside tcp dport {passive_ports} redirect
  }}
}}
""")

    def tproxy(self, control_port, to, passive_ports):
        """The control port without a change of its packets; they are steered to this host by a mark."""
        self._rules(f"""
table inet pasvgate {{
  chain prerouting {{
    type filter hook prerouting priority mangle;
    iifname inside ip daddr 203.0.113.0/24 tcp dport {control_port} tproxy ip to :{to} meta mark set 1 accept
  }}
  chain passive {{
    type nat hook prerouting priority dstnat;
    iifname inside tcp dport {passive_ports} redirect
  }}
}}
""")
        ip("-n", self.name("gateway"), "rule", "add", "fwmark", "1", "lookup", "100")
        ip("-n", self.name("gateway"), "route", "add", "local", "default", "dev", "lo", "table", "100")
