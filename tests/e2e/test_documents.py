"""Shell completions and manual pages: written by the program itself, tried in the shells and formatters that read them."""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import tap
from harness import BINARY


@functools.cache
def generated(form):
    done = subprocess.run([BINARY, "generate", form], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **more)


def have(program):
    return unittest.skipUnless(shutil.which(program), f"no {program}")


class Case(unittest.TestCase):
    def file(self, name, text):
        folder = tempfile.TemporaryDirectory(prefix="pasvgate-documents-")
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name, name)
        path.write_text(text, encoding="utf-8")
        return path


class Bash(Case):
    def asked(self, *words, folder=None):
        """What Tab offers behind these words; the last one is the one that is being written."""
        quoted = " ".join(f"'{word}'" for word in words)
        script = (f"source '{self.file('pasvgate', generated('bash'))}'; complete -p pasvgate >/dev/null || exit 9; "
                  f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _pasvgate; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        done = run(["bash", "--norc", "-c", script], cwd=folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return set(done.stdout.split())

    def test_commands_and_options(self):
        commands = self.asked("pasvgate", "")
        self.assertLessEqual({"run", "check", "schema", "firewall", "probe", "status", "trace", "drain"}, commands)
        self.assertNotIn("generate", commands)  # for the build alone
        self.assertEqual(self.asked("pasvgate", "fire"), {"firewall"})
        self.assertLessEqual({"--no-color", "--version", "--help"}, self.asked("pasvgate", "--"))
        options = self.asked("pasvgate", "run", "--")
        self.assertLessEqual({"--listen", "--backend", "--tls", "--no-color"}, options)
        self.assertNotIn("--format", options)
        self.assertEqual(self.asked("pasvgate", "run", "--tls-"), {"--tls-cert", "--tls-key"})

    def test_values(self):
        self.assertEqual(self.asked("pasvgate", "firewall", "c.json", "--format", ""), {"nft", "iptables", "kubernetes", "aws"})
        self.assertEqual(self.asked("pasvgate", "run", "--tls", "o"), {"off", "optional"})
        self.assertEqual(self.asked("pasvgate", "--no-color", "run", "--log-level", ""), {"debug", "info", "warn", "error"})
        self.assertEqual(self.asked("pasvgate", "run", "--listen", ""), set())

    def test_files(self):
        path = self.file("a.json", "{}")
        for words in (("check",), ("run", "--tls-cert"), ("firewall",)):
            self.assertEqual(self.asked("pasvgate", *words, "", folder=path.parent), {"a.json"})
        for words in (("probe", "--tls-ca"), ("run", "--backend-tls-ca")):
            self.assertEqual(self.asked("pasvgate", *words, "", folder=path.parent), {"a.json", "none"})
            self.assertEqual(self.asked("pasvgate", *words, "n", folder=path.parent), {"none"})

    def test_every_option_of_help(self):
        for command in ("run", "check", "schema", "firewall", "probe", "status", "trace", "drain"):
            text = run([BINARY, command, "--help"]).stdout
            self.assertLessEqual(set(re.findall(r"(?<=[ ,])--[a-z][a-z-]+(?= )", text)) - {"--listen,"},
                                 self.asked("pasvgate", command, "--"), command)


class OtherShells(Case):
    @have("zsh")
    def test_zsh(self):
        path = self.file("_pasvgate", generated("zsh"))
        done = run(["zsh", "-fc", f"fpath=({path.parent} $fpath); autoload -Uz compinit; compinit -D -u; "
                                  f"autoload +X -Uz _pasvgate && which _pasvgate; echo $_comps[pasvgate]"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        self.assertTrue(done.stdout.endswith("\n_pasvgate\n"), done.stdout[-200:])
        self.assertIn("--tls", done.stdout)
        self.assertEqual(run(["zsh", "-fn", path]).stderr, "")

    @have("fish")
    def test_fish(self):
        path = self.file("pasvgate.fish", generated("fish"))

        def asked(line):
            done = run(["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"],
                       env={**os.environ, "HOME": str(path.parent)})
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return {entry.split("\t")[0] for entry in done.stdout.splitlines()}

        self.assertLessEqual({"run", "check", "firewall", "probe", "status", "trace", "drain"}, asked("pasvgate "))
        self.assertEqual(asked("pasvgate run --tls "), {"off", "optional", "required", "implicit"})
        self.assertEqual(asked("pasvgate firewall --format k"), {"kubernetes"})
        self.assertIn("--listen-implicit", asked("pasvgate run --listen"))


class Manual(Case):
    def pages(self):
        return {"pasvgate.1": generated("man"), "pasvgate.json.5": generated("man-config")}

    @have("man")
    @have("groff")
    def test_man_formats_without_a_warning(self):
        for name, text in self.pages().items():
            path = self.file(name, text)
            done = run(["man", "--warnings", "-E", "UTF-8", "-l", path], env={**os.environ, "MANWIDTH": "100", "MANPAGER": "cat"})
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("NAME", done.stdout)

    @have("mandoc")
    def test_mandoc_lint(self):
        for name, text in self.pages().items():
            done = run(["mandoc", "-T", "lint", "-W", "warning", self.file(name, text)])
            self.assertEqual((done.returncode, done.stdout), (0, ""))

    @have("mandoc")
    def test_says_what_help_says(self):
        page = run(["mandoc", "-T", "ascii", "-O", "width=300", self.file("pasvgate.1", generated("man"))]).stdout
        page = re.sub(r".\x08", "", page)
        for command in ("run", "check", "schema", "firewall", "probe", "status", "trace", "drain"):
            self.assertIn(f"pasvgate {command}", page)
            for option in re.findall(r"(?<=[ ,])--[a-z][a-z-]+(?= )", run([BINARY, command, "--help"]).stdout):
                self.assertIn(option, page)
        self.assertNotIn("generate", page)

    @have("mandoc")
    def test_every_key(self):
        page = run(["mandoc", "-T", "ascii", "-O", "width=300", self.file("pasvgate.json.5", generated("man-config"))]).stdout
        page = re.sub(r".\x08", "", page)
        schema = json.loads(run([BINARY, "schema"]).stdout)
        for name in schema["properties"]:
            self.assertIn(name, page)
        for name in ("listeners.*.tls", "passive_ports.lease_timeout", "log.transfers_format"):
            self.assertIn(f"{name}\n", page)


class Installed(Case):
    def test_generate_is_hidden_and_checked(self):
        self.assertNotIn("generate", run([BINARY, "--help"]).stdout)
        self.assertEqual(run([BINARY, "generate", "powershell"]).returncode, 2)

    def test_built_files(self):
        """What ninja makes of it, for `meson install`."""
        built = pathlib.Path(BINARY).parent / "cli/documents"
        for form, name in (("bash", "pasvgate"), ("zsh", "_pasvgate"), ("fish", "pasvgate.fish"),
                           ("man", "pasvgate.1"), ("man-config", "pasvgate.json.5")):
            self.assertEqual((built / name).read_text(encoding="utf-8"), generated(form))


if __name__ == "__main__":
    tap.main()
