"""A private network behind a NAT, in network namespaces: nothing of it touches the machine's own network.

    client 203.0.113.50 --- 203.0.113.10 NAT 192.168.1.1 --- gateway 192.168.1.2
                            203.0.113.11 |               --- server  192.168.1.10

203.0.113.10 forwards the control port and the passive ports to the gateway. 203.0.113.11 forwards every port to the
server, as people do who have no gateway. The client has no route to anything but 203.0.113.0/24.
"""

import ctypes
import os
import subprocess
import threading

PUBLIC, PUBLIC_DIRECT = "203.0.113.10", "203.0.113.11"
GATEWAY, SERVER = "192.168.1.2", "192.168.1.10"
CLONE_NEWNET = 0x40000000


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Network:
    HOSTS = {"client": ("203.0.113.50", None), "gateway": (GATEWAY, "192.168.1.1"), "server": (SERVER, "192.168.1.1")}

    def __init__(self):
        self.prefix = f"pasvgate{os.getpid()}"
        self.spaces = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def name(self, host):
        return f"{self.prefix}-{host}"

    def _build(self):
        for host in ("nat", *self.HOSTS):
            ip("netns", "add", self.name(host))
            self.spaces.append(self.name(host))
            ip("-n", self.name(host), "link", "set", "lo", "up")
        nat = self.name("nat")
        for bridge, addresses in (("outside", [PUBLIC, PUBLIC_DIRECT]), ("inside", ["192.168.1.1"])):
            ip("-n", nat, "link", "add", bridge, "type", "bridge")
            for address in addresses:
                ip("-n", nat, "address", "add", f"{address}/24", "dev", bridge)
            ip("-n", nat, "link", "set", bridge, "up")
        for host, (address, route) in self.HOSTS.items():
            space = self.name(host)
            ip("-n", nat, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("-n", nat, "link", "set", host, "master", "inside" if route else "outside", "up")
            ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            if route:
                ip("-n", space, "route", "add", "default", "via", route)
        self.run("nat", lambda: open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii").write("1"))

    def forward(self, control_port, passive_ports, server_port):
        """The NAT's rules. `passive_ports` is "LOW-HIGH"."""
        rules = f"""
table ip nat {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    iifname outside ip daddr {PUBLIC} tcp dport {{ {control_port}, {passive_ports} }} dnat to {GATEWAY}
    iifname outside ip daddr {PUBLIC_DIRECT} tcp dport 21 dnat to {SERVER}:{server_port}
    iifname outside ip daddr {PUBLIC_DIRECT} dnat to {SERVER}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    oifname outside snat to {PUBLIC}
  }}
}}
"""
        self.run("nat", lambda: subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True,
                                               capture_output=True))

    def run(self, host, work):
        """Calls `work` in the host's namespace: its sockets and the programs that it starts live there."""
        result = {}

        def inside():
            try:
                with open(f"/run/netns/{self.name(host)}", "rb") as space:
                    if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                result["value"] = work()
            except BaseException as error:  # pylint: disable=broad-except
                result["error"] = error

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if "error" in result:
            raise result["error"]
        return result["value"]

    def close(self):
        for space in self.spaces:
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
        self.spaces = []


def why_not():
    """Why namespaces can't be made here; nothing when they can."""
    if os.geteuid() != 0:
        return "needs root"
    try:
        Network().close()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespaces: {getattr(error, 'stderr', '') or error}".replace("\n", " ")
    return None
