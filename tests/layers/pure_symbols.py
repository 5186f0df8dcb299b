#!/usr/bin/env python3
"""The pure libraries reference no socket, clock, thread or file symbol: nm -u says so.

Usage: pure_symbols.py LIBRARY...
"""
import re
import subprocess
import sys

IMPURE = re.compile(r"^(socket|bind|listen|accept4?|connect|send(to|msg)?|recv(from|msg)?|getaddrinfo|inet_\w+|open(64)?|fopen(64)?|"
                    r"read|write|clock_gettime|gettimeofday|time|nanosleep|pthread_\w+|uv_\w+|(SSL|EVP|RAND|BIO|X509|ERR|OPENSSL|CRYPTO)_\w+|"
                    r"getenv|rand|srand|"
                    r"_ZNSt6chrono3_V21[0-9]\w*clock3nowEv|_ZNSt6thread\w*|_ZNSt13random_device\w*|_ZNSt8ios_base\w*)(@.*)?$")


def main():
    assert IMPURE.match("clock_gettime@GLIBC_2.17") and IMPURE.match("socket") and IMPURE.match("pthread_create") and IMPURE.match("RAND_bytes")
    assert not IMPURE.match("memcpy") and not IMPURE.match("strtol")
    bad = []
    for library in sys.argv[1:]:
        symbols = subprocess.run(["nm", "-u", library], check=True, capture_output=True, text=True).stdout
        names = [line.split()[1] for line in symbols.splitlines() if line.strip().startswith("U ")]
        if not names:
            bad.append(f"{library}: nm found no symbol at all")
        bad += [f"{library}: references {name}" for name in names if IMPURE.match(name)]
    print("\n".join(bad) if bad else f"{len(sys.argv) - 1} pure libraries reference nothing impure")
    return 1 if bad else 0


sys.exit(main())
