"""Certificates that vouch for themselves, made with openssl when first asked for."""

import functools
import pathlib
import subprocess
import tempfile

FOLDER = tempfile.TemporaryDirectory(prefix="pasvgate-certificates-")
pathlib.Path(FOLDER.name).chmod(0o755)


def make(folder, name, *names, kind="ec", days=30):
    """(certificate, key) files for `names`, by default `name` and 127.0.0.1."""
    folder = pathlib.Path(folder)
    certificate, key = folder / f"{name}-{kind}.crt", folder / f"{name}-{kind}.key"
    how = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if kind == "ec" else ["rsa:2048"]
    alternatives = ",".join(names or (f"DNS:{name}", "IP:127.0.0.1", "IP:::1"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", *how, "-nodes", "-keyout", key, "-out", certificate, "-days",
                    str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName={alternatives}"],
                   check=True, capture_output=True)
    return str(certificate), str(key)


def expired(folder, name):
    """(certificate, key) files; its time was over a day ago."""
    certificate, key = make(folder, name)
    subprocess.run(["openssl", "x509", "-in", certificate, "-out", certificate, "-signkey", key, "-days", "-1"],
                   check=True, capture_output=True)
    return certificate, key


@functools.cache
def files(name, kind="ec"):
    return make(FOLDER.name, name, kind=kind)


def tls_sections(client_mode="off", backend_mode="off", **more):
    """Gateway sections for these modes; the backend's certificate is checked against the one it has."""
    certificate, key = files("localhost")
    listener = {"name": "public", "address": "127.0.0.1:0", "tls": client_mode}
    backend = {"tls": backend_mode, **({"tls_ca": certificate} if backend_mode != "off" else {})}
    sections = {"listeners": [{**listener, **more.pop("listener", {})}],
                "backends": {"default": {**backend, **more.pop("backend", {})}},
                "tls": {"certificates": [{"certificate": certificate, "key": key}], **more.pop("tls", {})}}
    return {**sections, **more}
