"""The dashboard and the alert rules of deploy/: they name nothing that a running gateway doesn't export, and work."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import unittest
import urllib.error
import urllib.parse
import urllib.request

import certificates
import tap
import yaml
from clients import Ftplib
from harness import ROOT, Gateway
from raw_tls import RawTls
from stub import Stub
from waiting import free_port, seconds, until

RULES = ROOT / "deploy/prometheus/alerts.yml"
RULES_TEST = ROOT / "deploy/prometheus/alerts_test.yml"
DASHBOARD = ROOT / "deploy/grafana/pasvgate.json"
METRIC = re.compile(r"\b(?:pasvgate|process)_[a-z0-9_]+\b")
# What Prometheus adds to a histogram's name.
SUFFIX = re.compile(r"_(bucket|sum|count)$")


def rule_expressions():
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"] if panel["type"] != "row"]


def dashboard_expressions():
    return {f"{panel['title']} {target['refId']}": target["expr"] for panel in panels() for target in panel["targets"]}


def labels_used(expression):
    """{metric: labels} of each selector in an expression, but for those that Prometheus adds."""
    found = {}
    for name, selector in re.findall(r"\b((?:pasvgate|process)_[a-z0-9_]+)\{([^}]*)\}", expression):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=|!|~)", selector))
    return found


class Observability(unittest.TestCase):
    def gateway(self, stub):
        sections = certificates.tls_sections("optional")
        return Gateway(stub.address, **sections, log={"level": "info"})

    def traffic(self, gateway):
        with tempfile.TemporaryDirectory() as folder:
            Ftplib(gateway.address).get("hello.txt", pathlib.Path(folder, "got"))

    def test_every_metric_is_exported(self):
        with Stub() as stub, self.gateway(stub) as gateway:
            self.traffic(gateway)
            self.handshake(gateway)
            exported = gateway.metrics()
        names = {SUFFIX.sub("", name) for name in exported}
        counted = 0
        for place, expression in {**rule_expressions(), **dashboard_expressions()}.items():
            for name in METRIC.findall(expression):
                counted += 1
                self.assertIn(SUFFIX.sub("", name), names, f"{place}: {expression}")
            for name, labels in labels_used(expression).items():
                has = set().union(*(labels for labels, _ in exported.get(name, [])))
                self.assertLessEqual(labels - {"job", "instance"}, has, f"{place}: {expression}")
        self.assertGreater(counted, 40)

    def test_labels_of_legends(self):
        """{{reason}} in a legend is a label that the expression leaves over."""
        for panel in panels():
            for target in panel["targets"]:
                for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                    by = re.search(r"by \(([^)]*)\)", target["expr"])
                    if by:
                        self.assertIn(label, by[1].split(", "), panel["title"])

    def handshake(self, gateway):
        with RawTls(gateway.address) as client:
            client.login()

    def test_dashboard_form(self):
        board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        every = board["panels"]
        self.assertEqual(len({panel["id"] for panel in every}), len(every))
        taken = set()
        for panel in every:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells
        for panel in panels():
            self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"})

    @unittest.skipUnless(shutil.which("promtool"), "no promtool")
    def test_rules(self):
        for arguments in (["check", "rules", RULES], ["test", "rules", RULES_TEST]):
            done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=seconds(60))
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        # No rule without a case in which it fires.
        tested = set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n +- ", RULES_TEST.read_text(encoding="utf-8")))
        self.assertEqual(tested, set(rule_expressions()))

    @unittest.skipUnless(shutil.which("prometheus"), "no prometheus")
    def test_prometheus_under_load(self):
        """A Prometheus that scrapes a gateway under load has its figures and evaluates every rule and panel."""
        with Stub() as stub, self.gateway(stub) as gateway, tempfile.TemporaryDirectory() as folder:
            self.handshake(gateway)
            stub.files["big"] = b"x" * 3_000_000
            port = free_port()
            config = pathlib.Path(folder, "prometheus.yml")
            config.write_text(json.dumps({
                "global": {"scrape_interval": "200ms", "evaluation_interval": "200ms"},
                "rule_files": [str(RULES)],
                "scrape_configs": [{"job_name": "pasvgate", "static_configs": [{"targets": [gateway.admin]}]}],
            }), encoding="utf-8")
            log_path = pathlib.Path(folder, "log")
            with open(log_path, "wb") as log:
                # pylint: disable=consider-using-with
                process = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
                                            f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
            try:
                self.watch(gateway, f"http://127.0.0.1:{port}", log_path)
            finally:
                process.terminate()
                process.wait(seconds(20))

    def watch(self, gateway, url, log_path):
        def ask(path, **query):
            with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=seconds(10)) as answer:
                return json.loads(answer.read())["data"]

        def value(expression):
            try:
                result = ask("query", query=expression)["result"]
            except urllib.error.URLError:
                return None
            return float(result[0]["value"][1]) if result else None

        def load():
            with tempfile.TemporaryDirectory() as folder:
                for _ in range(10):
                    Ftplib(gateway.address).get("big", pathlib.Path(folder, "got"))

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: value('pasvgate_transfer_bytes_total{direction="download"}') == 40 * 3_000_000, 20,
              lambda: log_path.read_text(encoding="utf-8")[-2000:])
        self.assertEqual(value("up"), 1)
        self.assertEqual(value('pasvgate_transfers_total{direction="download",result="ok"}'), 40)
        self.assertGreater(value("process_open_fds"), 5)
        self.assertGreater(value("process_max_fds"), value("process_open_fds"))

        def evaluated():
            rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
            return rules if all(rule["health"] != "unknown" for rule in rules) else None

        rules = until(evaluated, 20, "every rule is evaluated")
        self.assertEqual({rule["name"]: rule["health"] for rule in rules}, {name: "ok" for name in rule_expressions()})
        # The certificate of this test is good for 30 days and everything else is well.
        self.assertEqual([rule["name"] for rule in rules if rule["state"] == "firing"], [])
        for place, expression in dashboard_expressions().items():
            for variable, text in (("$job", ".*"), ("$instance", ".*"), ("$__rate_interval", "1m")):
                expression = expression.replace(variable, text)
            ask("query", query=expression)  # 400 would raise
            self.assertNotIn("$", expression, place)


if __name__ == "__main__":
    tap.main()
