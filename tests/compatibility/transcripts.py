"""What one kubectl says to a table of command lines, without what differs from run to run."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TABLE = Path(__file__).parent / "command_table.yaml"
_ARGUMENT = re.compile(r'"([^"]*)"(?=\s|$)|(\S+)')
_PATIENCE_SECONDS = 30
_VARYING = [
    (re.compile(pattern), shown)
    for pattern, shown in (
        (r"https://127\.0\.0\.1:\d+", "SERVER"),
        (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UID"),
        (r"\bey[\w-]+\.[\w-]+\.[\w-]+", "TOKEN"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| [+-]\d{4})", "TIME"),
        (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
        (r'(resourceVersion"?: ?)"\d+"', r"\1VERSION"),
        (r"(?<=[\s(])(<invalid>|(\d+[dhms])+)(?=[\s)]|$)", "AGE"),
        (r"\b10\.96\.\d+\.\d+\b", "ADDRESS"),
        (r"\b3[012]\d{3}\b", "PORT"),
        (r"/tmp/(LIVE|MERGED|kubectl_replace)[-_]\d+/", r"\1/"),
        (r"\b(made|debugger|kube-api-access)-[a-z0-9]{5}\b", r"\1-SUFFIX"),
        (r"(Resource Version: +)\d+", r"\1VERSION"),
        (r"X509SHA256=[0-9a-f]+", "FINGERPRINT"),
        # Ours says which build of 1.36 it is.
        (r"Server Version: v1\.36\S+", "Server Version: v1.36"),
        # The words that upstream has for single values of enumerations are in no published definition.
        (r'(- `"[^"\n]*"`) \S[^\n]*(\n(?!\s*- `|\s*\n)[^\n]+)*', r"\1"),
        # Columns are as wide as what varies.
        (r"(?<=\S) {2,}", "  "),
    )
]


class Line(NamedTuple):
    """One command with its exit status and what it said on both streams."""

    command: str
    code: int
    said: str

    def __str__(self) -> str:
        return f"$ kubectl {self.command}  [{self.code}]\n{self.said}"


def _request() -> str:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
    key = ec.generate_private_key(ec.SECP256R1())
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(asked.public_bytes(serialization.Encoding.PEM)).decode()


class Transcript:
    """One kubectl at work on one server, in one namespace; `home` is a folder of its own."""

    def __init__(self, program: Path, kubeconfig: str, namespace: str, home: Path) -> None:
        self._start = [str(program), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
        self._environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "KUBE_EDITOR": "sed -i s/site:[0-9]/site:9/"}
        folder = home / "kustomization"
        folder.mkdir(parents=True)
        (folder / "kustomization.yaml").write_text(
            "namePrefix: k-\ncommonAnnotations: {by: kustomize}\n"
            "configMapGenerator: [{name: generated, literals: [a=b]}]\n"
        )
        self._values = {"NS": namespace, "KUSTOMIZATION": str(folder), "REQUEST": _request()}

    def _filled(self, text: str) -> str:
        return re.sub(r"\b(NS|KUSTOMIZATION|REQUEST)\b", lambda found: self._values[found[1]], text)

    def _shown(self, text: str) -> str:
        for name, value in self._values.items():
            text = text.replace(value, name)
        for pattern, shown in _VARYING:
            text = pattern.sub(shown, text)
        # Causes come in the order of one of Go's maps.
        lines = text.splitlines()
        causes = iter(sorted(line for line in lines if line.startswith("* ")))
        return "\n".join(next(causes) if line.startswith("* ") else line for line in lines)

    def _run(self, step: dict[str, Any]) -> Line:
        arguments = [quoted or bare for quoted, bare in _ARGUMENT.findall(self._filled(step["args"]))]
        done = subprocess.run(
            [*self._start, *arguments],
            input=self._filled(step.get("in", "")).encode(),
            capture_output=True,
            timeout=120,
            check=False,
            env=self._environment,
        )
        said = (done.stdout + done.stderr).decode()
        if "--raw" in arguments and said.startswith("{"):
            # What the server wrote itself, fields in whatever order.
            said = json.dumps(json.loads(said), sort_keys=True, indent=1)
        return Line(step["args"], done.returncode, self._shown(said))

    def run(self) -> list[Line]:
        """The whole table."""
        lines = []
        for step in yaml.safe_load(TABLE.read_text(encoding="utf-8")):
            line = self._run(step)
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while not re.search(step.get("until", ""), line.said) and time.monotonic() < deadline:
                # Nobody tells when a definition is served.
                time.sleep(0.1)
                line = self._run(step)
            lines.append(line)
        return lines
