"""The manifests: rendered as `kubectl apply -k` does, valid by Kubernetes' schemas, and in step with what pasvgate says of itself."""

import fcntl
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

# pylint: disable=wrong-import-position
import haproxy
import tap
import yaml
from harness import BINARY, ROOT, read_config

HERE = ROOT / "deploy/kubernetes"
SETS = ["sidecar", "fleet", "overlays/sidecar-ftps", "overlays/sidecar-nodeport", "overlays/fleet-ftps"]
PACKAGES = ["kubernetes-models@5.1.0", "@kubernetes-models/prometheus-operator@6.0.0", "typescript@5.9.3"]


@functools.cache
def why_no_kustomize():
    if not shutil.which("kubectl"):
        return "no kubectl, which renders kustomize's files"
    done = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, text=True, check=False, timeout=60)
    version = re.search(r'"kustomizeVersion": "v(\d+)', done.stdout)
    return None if version and int(version[1]) >= 5 else "kubectl has a kustomize before 5"


@functools.cache
def packages():
    """The folder with the npm packages, fetched once; or why they aren't there."""
    folder = pathlib.Path(os.environ.get("PASVGATE_BUILD", ROOT / "build"), "kubernetes-models")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder / "complete"
        if not complete.exists() or complete.read_text("ascii") != " ".join(PACKAGES):
            (folder / "package.json").write_text('{"private": true}', encoding="ascii")
            done = subprocess.run(["npm", "install", "--no-save", "--no-package-lock", "--ignore-scripts", *PACKAGES],
                                  cwd=folder, capture_output=True, text=True, check=False, timeout=300)
            if done.returncode != 0:
                return None, f"npm can't fetch {' '.join(PACKAGES)}: {done.stderr[-300:]}".replace("\n", " ")
            complete.write_text(" ".join(PACKAGES), encoding="ascii")
    return folder, None


@functools.cache
def rendered(name):
    done = subprocess.run(["kubectl", "kustomize", HERE / name], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def of_kind(name, *kinds):
    return [one for one in rendered(name) if one["kind"] in kinds]


def pod_of(name, workload="pasvgate"):
    return next(one["spec"]["template"]["spec"] for one in of_kind(name, "Deployment", "StatefulSet")
                if one["metadata"]["name"] == workload)


def all_containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def gateway_of(name):
    return next(one for one in all_containers(pod_of(name)) if one["name"] == "pasvgate")


def seconds_of(text):
    count, unit = re.fullmatch(r"(\d+)([sm])", text).groups()
    return int(count) * {"s": 1, "m": 60}[unit]


def pasvgate(*arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, check=False, timeout=60)


def without_comments(text):
    return re.sub(r"^#.*\n", "", text, flags=re.M)


@unittest.skipIf(why_no_kustomize(), why_no_kustomize())
class Rendered(unittest.TestCase):
    @unittest.skipUnless(shutil.which("npm"), "no npm")
    def test_schemas(self):
        folder, why = packages()
        if folder is None:
            self.skipTest(why)
        objects = {json.dumps(one): None for name in SETS for one in rendered(name)}
        # That faults are found at all: a key that there isn't, and a port that is no number.
        for spoil in ({"sesionAffinity": "None"}, {"ports": [{"port": "control"}]}):
            objects[json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"broken-{next(iter(spoil))}"},
                                "spec": spoil})] = None
        done = subprocess.run(["node", pathlib.Path(__file__).with_name("validate.mjs"), folder], input="\n".join(objects),
                              capture_output=True, text=True, check=False, timeout=180)
        faults = done.stdout.splitlines()
        self.assertEqual([line for line in faults if not line.startswith("Service broken-")], [], done.stderr)
        self.assertTrue(any(line.startswith("Service broken-sesionAffinity") for line in faults), faults)
        self.assertTrue(any(line.startswith("Service broken-ports") for line in faults), faults)

    def test_configurations(self):
        """What is in the ConfigMaps passes `check`."""
        for name in SETS:
            texts = [text for one in of_kind(name, "ConfigMap") for key, text in one["data"].items() if key.endswith(".json")]
            self.assertEqual(len(texts), 1)
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                file.write(texts[0])
                file.flush()
                done = pasvgate("check", file.name)
                self.assertEqual((done.returncode, done.stderr), (0, ""), name)

    def test_names_that_are_used_exist(self):
        for name in SETS:
            known = {(one["kind"], one["metadata"]["name"]) for one in rendered(name)}
            for workload in of_kind(name, "Deployment", "StatefulSet"):
                pod = workload["spec"]["template"]["spec"]
                for volume in pod["volumes"]:
                    if "configMap" in volume:
                        self.assertIn(("ConfigMap", volume["configMap"]["name"]), known)
                volumes = {volume["name"] for volume in pod["volumes"]}
                for one in all_containers(pod):
                    self.assertLessEqual({mount["name"] for mount in one.get("volumeMounts", [])}, volumes)
            for scaler in of_kind(name, "HorizontalPodAutoscaler"):
                target = scaler["spec"]["scaleTargetRef"]
                self.assertIn((target["kind"], target["name"]), known)
                # Two that set the number would fight: each `apply` would undo what the scaler chose.
                (scaled,) = (one for one in rendered(name) if (one["kind"], one["metadata"]["name"]) == (target["kind"], target["name"]))
                self.assertNotIn("replicas", scaled["spec"])

    def test_namespace(self):
        """It is there, so that a first `apply` has where to put the rest, and enforces what the pods below keep to."""
        for name in SETS:
            (namespace,) = of_kind(name, "Namespace")
            self.assertEqual(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")
            self.assertEqual({one["metadata"]["namespace"] for one in rendered(name) if one is not namespace},
                             {namespace["metadata"]["name"]})

    def test_restricted_profile(self):
        """What the Pod Security Standard `restricted` asks, of every container."""
        for name in SETS:
            for workload in of_kind(name, "Deployment", "StatefulSet"):
                pod = workload["spec"]["template"]["spec"]
                self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                self.assertEqual(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault")
                self.assertFalse(pod.keys() & {"hostNetwork", "hostPID", "hostIPC"})
                for one in all_containers(pod):
                    context = one["securityContext"]
                    self.assertIs(context["allowPrivilegeEscalation"], False)
                    self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                    self.assertFalse(any("hostPort" in port for port in one.get("ports", [])))
                    self.assertNotEqual(context.get("runAsUser"), 0)
                self.assertLessEqual({kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}},
                                     {"configMap", "secret", "persistentVolumeClaim", "emptyDir"})

    def test_time_to_drain(self):
        """SIGKILL comes after the preStop and the whole drain."""
        for name in SETS:
            pod = pod_of(name)
            text = next(text for one in of_kind(name, "ConfigMap") for key, text in one["data"].items()
                        if key.endswith(".json"))
            drain = seconds_of(re.search(r'"drain_timeout": "(\w+)"', text)[1])
            hook = gateway_of(name)["lifecycle"]["preStop"]
            before = hook["sleep"]["seconds"] if "sleep" in hook else seconds_of(hook["exec"]["command"][-1])
            self.assertGreaterEqual(pod["terminationGracePeriodSeconds"], before + drain + 5)

    def test_the_server_outlives_the_drain(self):
        """The gateway is the native sidecar, and the server's own hook keeps it until the gateway has drained."""
        for name in (name for name in SETS if "sidecar" in name):
            pod = pod_of(name)
            (gateway,) = pod["initContainers"]
            (server,) = pod["containers"]
            self.assertEqual((gateway["name"], gateway["restartPolicy"], server["name"]), ("pasvgate", "Always", "ftp"))
            # Until it is good, the server isn't started.
            self.assertEqual(gateway["startupProbe"]["httpGet"]["path"], "/healthz")
            program, command, option, _ = gateway["lifecycle"]["preStop"]["exec"]["command"]
            self.assertEqual((program, command, option), ("/usr/bin/pasvgate", "drain", "--after"))
            self.assertIn("COPY --from=build /pasvgate /files/usr/bin/pasvgate", (ROOT / "deploy/Containerfile").read_text("utf-8"))
            # `drain` tells process 1, which it is where containers have their own.
            self.assertEqual((gateway["args"][0], "command" in gateway, "shareProcessNamespace" in pod), ("run", False, False))
            (admin,) = (port["containerPort"] for port in gateway["ports"] if port["name"] == "admin")
            self.assertEqual(server["lifecycle"]["preStop"], {"httpGet": {"path": "/drained", "port": admin}})
            text = next(one["data"]["pasvgate.json"] for one in of_kind(name, "ConfigMap"))
            self.assertIn(f'"admin": {{"address": "0.0.0.0:{admin}"}}', text)

    def test_ftps(self):
        for name, plain in (("overlays/sidecar-ftps", "sidecar"), ("overlays/fleet-ftps", "fleet")):
            container = gateway_of(name)
            env = {one["name"]: one["value"] for one in container["env"]}
            self.assertEqual(env["PASVGATE_TLS"], "required")
            mounted = next(one["mountPath"] for one in container["volumeMounts"] if one["name"] == "tls")
            self.assertEqual((env["PASVGATE_TLS_CERT"], env["PASVGATE_TLS_KEY"]), (f"{mounted}/tls.crt", f"{mounted}/tls.key"))
            self.assertNotIn("PASVGATE_TLS", {one["name"] for one in gateway_of(plain)["env"]})
            # cert-manager's, or made by the command that the texts tell; one that is applied with the rest would overwrite it.
            self.assertEqual(of_kind(name, "Secret"), [])
            (secret,) = (volume["secret"]["secretName"] for volume in pod_of(name)["volumes"] if "secret" in volume)
            for text in (ROOT / "deploy/README.md", HERE / "ftps/kustomization.yaml"):
                self.assertIn(f"kubectl create secret tls {secret} -n {of_kind(name, 'Namespace')[0]['metadata']['name']} ",
                              text.read_text("utf-8"))

    def test_service_ports_lead_to_who_listens(self):
        """Each port of a slice's Service is one that its gateway binds, and the network policy lets it in."""
        ranges = {"sidecar": (50000, 50019), "overlays/sidecar-nodeport": (50000, 50019), "fleet": (50000, 50099)}
        for name, (low, high) in ranges.items():
            targets = [port["targetPort"] for one in of_kind(name, "Service") for port in one["spec"]["ports"]
                       if one["metadata"]["name"] != "ftp-edge"]
            self.assertEqual(sorted(targets), [2121, *range(low, high + 1)])
            policy = next(one for one in of_kind(name, "NetworkPolicy") if one["metadata"]["name"] == "pasvgate")
            self.assertIn({"protocol": "TCP", "port": low, "endPort": high}, policy["spec"]["ingress"][0]["ports"])
        edge = next(one for one in of_kind("fleet", "Service") if one["metadata"]["name"] == "ftp-edge")
        self.assertEqual([(port["port"], port["targetPort"]) for port in edge["spec"]["ports"]],
                         [(21, 2121), *((port, port) for port in range(50000, 50100))])
        # What keeps a drained gateway's last data connections coming.
        for one in of_kind("fleet", "Service"):
            if one["metadata"]["name"].startswith("pasvgate-"):
                self.assertTrue(one["spec"]["publishNotReadyAddresses"])
                self.assertNotIn("externalTrafficPolicy", one["spec"])


class Generated(unittest.TestCase):
    def test_services(self):
        """As `pasvgate firewall --format kubernetes` prints them."""
        for name in ("sidecar", "overlays/sidecar-nodeport", "fleet"):
            done = pasvgate("firewall", HERE / name / "pasvgate.json", "--format", "kubernetes")
            self.assertEqual((HERE / name / "services.yaml").read_text("utf-8"), done.stdout, name)

    def test_edge_service(self):
        config = read_config(HERE / "fleet/pasvgate.json")
        del config["passive_ports"]["slice"]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(config, file)
            file.flush()
            printed = pasvgate("firewall", file.name, "--format", "kubernetes").stdout
        expected = re.sub("(app|name): pasvgate$", r"\1: ftp-edge", printed, flags=re.M).replace("  sessionAffinity: ClientIP\n", "")
        self.assertEqual(without_comments((HERE / "fleet/edge-service.yaml").read_text("utf-8")), without_comments(expected))

    def test_edge_knows_each_slice(self):
        text = (HERE / "fleet/haproxy.cfg").read_text("utf-8")
        binds = re.findall(r"listen slice\d+\n  bind :(\d+)-(\d+)\n  server gw\d+ (pasvgate-\d+)\.", text)
        services = {one["metadata"]["name"]: [port["port"] for port in one["spec"]["ports"]]
                    for one in yaml.safe_load_all((HERE / "fleet/services.yaml").read_text("utf-8"))}
        del services["pasvgate"]
        self.assertEqual({name: list(range(int(low), int(high) + 1)) for low, high, name in binds}, services)

    def test_haproxy_reads_its_files(self):
        root = haproxy.unpacked()
        for file in (HERE / "fleet/haproxy.cfg", ROOT / "deploy/fleet-hosts/haproxy.cfg"):
            done = subprocess.run([root / "usr/sbin/haproxy", "-c", "-f", file], capture_output=True, text=True, check=False,
                                  timeout=60, env={**os.environ, "LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu")})
            self.assertEqual((done.returncode, [line for line in done.stderr.splitlines() if "ALERT" in line or "WARN" in line]),
                             (0, []), done.stderr)

    def test_host_example(self):
        done = pasvgate("check", ROOT / "deploy/fleet-hosts/pasvgate.json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_time_to_drain_on_hosts(self):
        """systemd's SIGKILL comes after the drain of every configuration that is for its unit."""
        unit = (ROOT / "deploy/systemd/pasvgate.service").read_text("utf-8")
        most = int(re.search(r"^TimeoutStopSec=(\d+)$", unit, flags=re.M)[1])
        default = re.search(r'^### drain_timeout\n.*?^\*\*Default:\*\* `"(\d+)s"`', (ROOT / "conf/README.md").read_text("utf-8"),
                            flags=re.M | re.S)[1]
        self.assertLessEqual(int(default) + 5, most)
        for file in (*(ROOT / "conf").glob("*.json"), *(ROOT / f"deploy/{name}/pasvgate.json" for name in ("debian", "fleet-hosts"))):
            if said := re.search(r'^  "drain_timeout": "(\d+)([sm])"', file.read_text("utf-8"), flags=re.M):
                self.assertLessEqual(int(said[1]) * {"s": 1, "m": 60}[said[2]] + 5, most, file)


if __name__ == "__main__":
    tap.main()
