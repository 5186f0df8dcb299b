"""A DNS server of the test's own on a loopback address, and a pasvgate whose resolver asks it (RFC 1035 §4)."""

import collections
import contextlib
import os
import random
import socket
import struct
import tempfile
import threading
import unittest.mock

import harness

A, AAAA = 1, 28


class NameServer:
    """`records` maps names to lists of addresses. While `silent` it answers nothing, and never to a name that begins
    with `deaf`. `names` counts the questions by name."""

    def __init__(self):
        self.records = {}
        self.silent = False
        self.asked = 0
        self.deaf = None
        self.names = collections.Counter()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while True:  # the resolver asks port 53 only
            self.host = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
            with contextlib.suppress(FileExistsError, OSError):
                self.socket.bind((self.host, 53))
                break
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except OSError:
                return
            if not query:
                return
            self.asked += 1
            name = self._name(query)[0]
            self.names[name] += 1
            if not self.silent and not (self.deaf and name.startswith(self.deaf)):
                self.socket.sendto(self._answer(query), client)

    @staticmethod
    def _name(query):
        """(the name that is asked for, where it ends)."""
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        return ".".join(labels).lower(), at

    def _answer(self, query):
        name, at = self._name(query)
        kind = struct.unpack_from("!H", query, at + 1)[0]
        addresses = self.records.get(name)
        family = {A: socket.AF_INET, AAAA: socket.AF_INET6}.get(kind)
        found = [socket.inet_pton(family, text) for text in addresses or ()
                 if family and (":" in text) == (family == socket.AF_INET6)]
        name_error = 3 if addresses is None else 0
        head = query[:2] + struct.pack("!HHHHH", 0x8180 | name_error, 1, len(found), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(data)) + data for data in found)
        return head + query[12:at + 5] + body

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@contextlib.contextmanager
def asking(server, patience=1):
    """A Gateway that is started in here sees an /etc/resolv.conf of its own, which names `server` and waits for so many
    seconds."""
    with tempfile.TemporaryDirectory(prefix="pasvgate-dns-") as folder:
        files = {"resolv.conf": f"nameserver {server.host}\noptions timeout:{patience} attempts:1\n", "nsswitch.conf": "hosts: dns\n"}
        mounts = []
        for name, text in files.items():
            with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                file.write(text)
            mounts.append(f"mount --bind '{folder}/{name}' /etc/{name}")
        wrapper = os.path.join(folder, "pasvgate")
        with open(wrapper, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexec unshare --mount sh -c '" + " && ".join(mounts).replace("'", '"') +
                       f" && exec \"$@\"' sh '{harness.BINARY}' \"$@\"\n")
        os.chmod(wrapper, 0o755)
        with unittest.mock.patch.object(harness, "BINARY", wrapper):
            yield
