"""`pasvgate firewall`: what it prints is loaded by those who it is for."""

import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import tap
import yaml
from harness import BINARY

CONFIG = {
    "listeners": [{"name": "public", "address": "203.0.113.10:21"}, {"name": "secure", "address": "0.0.0.0:990"},
                  {"name": "six", "address": "[2001:db8::10]:21"}],
    "backends": {"default": {"servers": ["192.168.1.10", "[fd00::10]:21"], "active_ports": "40000-40009"},
                 "named": {"servers": ["ftp.internal"], "active_ports": "41000-41009"}},
    "passive_ports": {"listen": "50000-50019", "advertise": "30000-30019"},
}


def firewall(form, config=None):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config or CONFIG, file)
        file.flush()
        return subprocess.run([BINARY, "firewall", file.name, "--format", form], capture_output=True, text=True,
                              check=False, timeout=60)


@functools.cache
def why_no_namespace():
    done = subprocess.run(["unshare", "--net", "nft", "list", "ruleset"], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"no nftables in a namespace of our own: {done.stderr.strip()}"


def alone(script, text):
    """Runs `script` in a network namespace of its own, so that nothing of it stays; `text` is the file $1."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        return subprocess.run(["unshare", "--net", "sh", "-ec", script, "sh", file.name], capture_output=True,
                              text=True, check=False, timeout=60)


class Firewall(unittest.TestCase):
    def rules(self, form, config=None):
        done = firewall(form, config)
        self.assertEqual((done.returncode, done.stderr if form != "aws" else ""), (0, ""))
        return done.stdout

    @unittest.skipIf(why_no_namespace(), why_no_namespace())
    def test_nft_checks_and_loads_twice(self):
        done = alone('nft -c -f "$1"; nft -f "$1"; nft -f "$1"; nft list chain inet filter pasvgate', self.rules("nft"))
        self.assertEqual(done.returncode, 0, done.stderr)
        ports = re.findall(r"tcp dport (\S+) accept comment \"([^\"]*)\"", done.stdout)
        self.assertEqual(sorted(ports), sorted([
            ("21", "listener public"), ("990", "listener secure"), ("21", "listener six"),
            ("50000-50019", "passive ports"), ("50000-50019", "passive ports"),
            ("40000-40009", "data connections of backend default"), ("40000-40009", "data connections of backend default"),
            ("41000-41009", "data connections of backend named"), ("41000-41009", "data connections of backend named")]))
        self.assertIn("ip saddr 192.168.1.10 tcp dport 40000-40009", done.stdout)
        self.assertIn("ip6 saddr fd00::10 tcp dport 40000-40009", done.stdout)

    @unittest.skipIf(why_no_namespace(), why_no_namespace())
    def test_nft_beside_rules_that_drop(self):
        """The chain is jumped to from an input chain that drops, as its comment says: then the ports are open."""
        before = ("nft add table inet filter; nft add chain inet filter input '{ type filter hook input priority 0; "
                  "policy drop; }'; ip link set lo up; ip addr add 203.0.113.10/32 dev lo; ")
        # 990 and the pool are open on every address, 21 on its own only; a refused connection came through.
        ask = ("ask() { python3 -c 'import socket,sys; s=socket.socket(); s.settimeout(1)\n"
               "try: s.connect((sys.argv[1], int(sys.argv[2])))\n"
               "except ConnectionRefusedError: print(sys.argv[2], \"open\")\n"
               "except TimeoutError: print(sys.argv[2], \"dropped\")' \"$1\" \"$2\"; }; ")
        tries = "".join(f"ask 203.0.113.10 {port}; " for port in (21, 990, 50000, 50019, 50020, 22))
        done = alone(before + ask + 'nft -f "$1"; nft insert rule inet filter input jump pasvgate; ' + tries,
                     self.rules("nft"))
        # A refusal is an answer that comes in too: it is let in as established.
        self.assertEqual(done.stdout.split("\n")[:-1],
                         ["21 open", "990 open", "50000 open", "50019 open", "50020 dropped", "22 dropped"], done.stderr)

    @unittest.skipUnless(shutil.which("iptables-restore"), "no iptables")
    @unittest.skipIf(why_no_namespace(), why_no_namespace())
    def test_iptables_both_families(self):
        rules = self.rules("iptables")
        for command, own, other in (("iptables", "203.0.113.10/32", "2001:db8::10"),
                                    ("ip6tables", "2001:db8::10/128", "203.0.113.10")):
            done = alone(f'{command}-restore --noflush --test "$1"; {command}-restore --noflush "$1"; '
                         f'{command}-restore --noflush "$1"; {command} -S PASVGATE', rules)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"-d {own} -p tcp -m tcp --dport 21", done.stdout)
            self.assertIn("--dport 50000:50019", done.stdout)
            self.assertIn("--dport 40000:40009", done.stdout)
            self.assertNotIn(other, done.stdout)
            # Loaded twice and there once.
            self.assertEqual(done.stdout.count("passive ports"), 1)

    def test_kubernetes_maps_every_port(self):
        service = yaml.safe_load(self.rules("kubernetes"))
        self.assertEqual((service["apiVersion"], service["kind"], service["spec"]["type"]), ("v1", "Service", "NodePort"))
        ports = service["spec"]["ports"]
        self.assertEqual({(port["port"], port["targetPort"], port.get("nodePort")) for port in ports},
                         {(21, 21, None), (990, 990, None), *((30000 + i, 50000 + i, 30000 + i) for i in range(20))})
        names = [port["name"] for port in ports]
        self.assertEqual(len(set(names)), len(names))
        for name in names:
            self.assertRegex(name, r"^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$")
        self.assertEqual(service["spec"]["ipFamilies"], ["IPv4", "IPv6"])

    def test_aws(self):
        done = firewall("aws")
        permissions = json.loads(done.stdout)
        found = set()
        for one in permissions:
            self.assertEqual(one["IpProtocol"], "tcp")
            for ranges, key in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6")):
                for entry in one.get(ranges, []):
                    self.assertRegex(entry["Description"], r"^[a-zA-Z0-9. _:/()#,@\[\]+=&;{}!$*-]{0,255}$")
                    found.add((one["FromPort"], one["ToPort"], entry[key]))
        anybody = ("0.0.0.0/0", "::/0")
        self.assertEqual(found, {(21, 21, "0.0.0.0/0"), (990, 990, "0.0.0.0/0"), (21, 21, "::/0"),
                                 *((50000, 50019, who) for who in anybody), *((41000, 41009, who) for who in anybody),
                                 (40000, 40009, "192.168.1.10/32"), (40000, 40009, "fd00::10/128")})
        self.assertIn("a NAT in front must map them", done.stderr)

    def test_slices(self):
        """A host's rules are for its own ports; a fleet's Services are printed together."""
        def sliced(form, *arguments, **slice_):
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump({**CONFIG, "passive_ports": {"listen": "50000-50019", **slice_}}, file)
                file.flush()
                done = subprocess.run([BINARY, "firewall", file.name, "--format", form, *arguments], timeout=60,
                                      capture_output=True, text=True, check=False)
            return done.returncode, done.stdout + done.stderr.replace(file.name, "f")

        own, host = {"slice": {"index": 1, "of": 3}}, {"slice": {"index": "hostname", "of": 3}}
        ports = [sliced("nft", *arguments, **which)[1].count(f"tcp dport {span} accept")
                 for span, which, *arguments in (("50006-50011", own), ("50012-50017", own, "--slice", "2"),
                                                 ("50000-50005", host, "--slice", "0"))]
        self.assertEqual(ports, [2, 2, 2])
        names = [(one["metadata"]["name"], len(one["spec"]["ports"]))
                 for one in yaml.safe_load_all(sliced("kubernetes", **host)[1])]
        self.assertEqual(names, [("pasvgate", 2), ("pasvgate-0", 6), ("pasvgate-1", 6), ("pasvgate-2", 6)])
        self.assertEqual(sliced("nft", **host), (1, 'f: /passive_ports/slice/index: "hostname"; say whose rules these are '
                                                    'with --slice INDEX\n'))
        self.assertEqual(sliced("nft", "--slice", "3", **own), (1, "--slice: 3 is none of 3 slices; the last is 2\n"))
        self.assertEqual(sliced("nft", "--slice", "0"), (1, "f: there is no passive_ports.slice; leave out --slice\n"))

    def test_a_port_that_nobody_knows(self):
        done = firewall("nft", {**CONFIG, "listeners": [{"name": "public", "address": "0.0.0.0:0"}]})
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn('listener "public": port 0 lets the kernel choose', done.stderr)

    def test_broken_config_and_format(self):
        self.assertEqual(firewall("nft", {"listeners": []}).returncode, 1)
        self.assertEqual(firewall("pf").returncode, 2)

    def test_sample_configs(self):
        for name in ("minimal", "pasvgate", "sidecar"):
            path = os.path.join(os.path.dirname(__file__), "../../conf", f"{name}.json")
            # Files that only an installed gateway has.
            with open(path, encoding="utf-8") as file, tempfile.TemporaryDirectory() as folder:
                text = file.read().replace("/etc/pasvgate", folder)
                for other, content in (("routes.json", "[]"), ("users", ""), ("config.json", text)):
                    with open(os.path.join(folder, other), "w", encoding="utf-8") as written:
                        written.write(content)
                done = subprocess.run([BINARY, "firewall", os.path.join(folder, "config.json"), "--format", "kubernetes"],
                                      capture_output=True, text=True, check=False, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual({one["kind"] for one in yaml.safe_load_all(done.stdout)}, {"Service"})


if __name__ == "__main__":
    tap.main()
