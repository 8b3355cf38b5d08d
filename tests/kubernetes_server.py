"""The part of a Kubernetes cluster that Dagster's launcher talks to, on this machine, for tests.

An API server over TLS that knows Jobs and their pods, gives out what our manifests declare, and
refuses with 403 what the Role of the manifests does not allow. Its one node runs a pod's container
as a process here: with the environment of the named ConfigMaps and Secret, and with folders of the
test in the place of the volumes. A pod asks for the image's `dagster`; that is the environment of
`deploy/distributed.sh`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml

from foundation.home import CHECKOUT

DEPLOY = CHECKOUT / "deploy" / "kubernetes"
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "quarterdeck.yaml").read_text("utf-8")))
NAMESPACE, TOKEN = "quarterdeck", "token-of-the-service-account"
# Where the image has the platform's folders; not the middle of a bucket's address.
IN_IMAGE = re.compile(r"(?<![\w/])/quarterdeck(?=/)")
_VERBS = {"POST": "create", "DELETE": "delete", "PATCH": "patch"}


@dataclass
class Pod:
    """A Job's pod: its container's process, and what became of it."""

    job: dict
    process: subprocess.Popen[bytes]
    deleted: bool = False


@dataclass
class Cluster:
    """What the cluster has, and what happened.

    Attributes
    ----------
    root : Path
        Stands for ``/quarterdeck`` of the image: ``home`` is the volume, ``dagster`` the
        ConfigMap's files.
    asked : list of tuple
        Verb and resource of every request that was allowed.
    """

    root: Path
    programs: Path
    secret: dict[str, str]
    url: str = ""
    pods: dict[str, Pod] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def here(self, text: str) -> str:
        """Return a text with paths of the image as paths of this machine."""
        return IN_IMAGE.sub(str(self.root), text)

    def configuration(self) -> dict[str, str]:
        return next(doc["data"] for doc in MANIFESTS if doc["kind"] == "ConfigMap")

    def environment(self, container: dict) -> dict[str, str]:
        """Return a container's variables, in the cluster's order: those stated by name win."""
        found = {"PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}", **_image_variables()}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                assert source["configMapRef"]["name"] == "quarterdeck"
                found |= self.configuration()
            else:
                assert source["secretRef"]["name"] == "quarterdeck"
                found |= self.secret
        for variable in container.get("env", []):
            found[variable["name"]] = variable["value"]
        return {name: self.here(value) for name, value in found.items()}

    def run(self, job: dict) -> None:
        """Start a Job's pod."""
        spec = job["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        declared = {(doc["kind"], doc["metadata"]["name"]) for doc in MANIFESTS}
        assert ("ServiceAccount", spec["serviceAccountName"]) in declared
        for volume in spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in declared
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        name = job["metadata"]["name"]
        with (self.root / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    self.here(word)
                    for word in (*(container.get("command") or ()), *container["args"])
                ],
                cwd=CHECKOUT,
                env=_without_settings() | self.environment(container),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pods[name] = Pod(job, process)

    def end(self) -> None:
        for pod in self.pods.values():
            if pod.process.poll() is None:
                os.killpg(pod.process.pid, signal.SIGKILL)
                pod.process.wait()

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self.root.glob("*.log")
        )


def _without_settings() -> dict[str, str]:
    """Return this process's variables without the platform's: a pod has the cluster's only."""
    return {n: v for n, v in os.environ.items() if not n.startswith(("QUARTERDECK_", "DAGSTER_"))}


def _image_variables() -> dict[str, str]:
    """Return what the Containerfile's ENV says, but for the path."""
    text = (CHECKOUT / "deploy" / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    words = next(line for line in text.splitlines() if line.startswith("ENV ")).split()[1:]
    pairs = dict(word.split("=", 1) for word in words)
    pairs.pop("PATH")
    return pairs


def _allowed(verb: str, resource: str, group: str) -> bool:
    """Return whether the Role of the manifests allows a verb on a resource."""
    rules = next(doc["rules"] for doc in MANIFESTS if doc["kind"] == "Role")
    return any(
        group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
        for rule in rules
    )


class _Api(BaseHTTPRequestHandler):
    """Answers as the API server does, for Jobs and pods of one namespace."""

    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_DELETE = do_PATCH = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        parts = urlsplit(self.path)
        found = re.fullmatch(
            r"/(?:api/v1|apis/(batch)/v1)/namespaces/([\w-]+)/(\w+)(?:/([\w.-]+))?(?:/(\w+))?",
            parts.path,
        )
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if (scheme.lower(), token) != ("bearer", TOKEN):
            self._send(401, _status(401, "Unauthorized"))
            return
        if found is None or found[2] != NAMESPACE:
            self._send(404, _status(404, f"no such path {parts.path}"))
            return
        group, _, resource, name, below = found.groups()
        verb = _VERBS.get(self.command, "get" if name else "list")
        what = f"{resource}/{below}" if below else resource
        if not _allowed(verb, what, group or ""):
            self.cluster.refused.append((verb, what))
            self._send(403, _status(403, f"the service account cannot {verb} {what}"))
            return
        self.cluster.asked.append((verb, what))
        selector = parse_qs(parts.query).get("labelSelector", [""])[0]
        self._send(*self._do(verb, resource, name, selector, body))

    def _do(
        self, verb: str, resource: str, name: str | None, selector: str, body: dict
    ) -> tuple[int, dict]:
        pods = self.cluster.pods
        if resource == "jobs":
            if verb == "create":
                self.cluster.run(body)
                return 201, body
            if verb == "list":
                return 200, {"kind": "JobList", "items": [_job(pod) for pod in pods.values()]}
            if name not in pods or pods[name].deleted:
                return 404, _status(404, f"jobs {name} not found")
            if verb == "delete":
                # Through the API a Job goes alone; its pod stays unless someone deletes that too.
                pods[name].deleted = True
                return 200, _status(200, "deleted")
            return 200, _job(pods[name])
        if resource == "pods":
            if verb == "list":
                wanted = selector.removeprefix("job-name=")
                items = [_pod(job, pod) for job, pod in pods.items() if job == wanted]
                return 200, {"kind": "PodList", "items": items}
            job = (name or "").removesuffix("-pod")
            if job not in pods:
                return 404, _status(404, f"pods {name} not found")
            if verb == "delete":
                # The kubelet first asks, and kills after the grace; a test waits for the end.
                if pods[job].process.poll() is None:
                    os.killpg(pods[job].process.pid, signal.SIGTERM)
                return 200, _pod(job, pods[job])
            return 200, _pod(job, pods[job])
        return 200, {"kind": "List", "items": []}

    def _send(self, code: int, answer: dict) -> None:
        content = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _status(code: int, message: str) -> dict:
    return {"kind": "Status", "apiVersion": "v1", "code": code, "message": message}


def _job(pod: Pod) -> dict:
    ended = pod.process.poll()
    status = {"active": 1} if ended is None else {"failed": 1} if ended else {"succeeded": 1}
    return pod.job | {"kind": "Job", "apiVersion": "batch/v1", "status": status}


def _pod(job: str, pod: Pod) -> dict:
    ended = pod.process.poll()
    phase = "Running" if ended is None else "Failed" if ended else "Succeeded"
    return {
        "kind": "Pod",
        "metadata": {"name": f"{job}-pod", "namespace": NAMESPACE, "labels": {"job-name": job}},
        "spec": pod.job["spec"]["template"]["spec"],
        "status": {"phase": phase, "containerStatuses": []},
    }


@contextmanager
def kubernetes_cluster(folder: Path, programs: Path, secret: dict[str, str]) -> Iterator[Cluster]:
    """Start the cluster; a process learns of it as one in a pod does.

    Parameters
    ----------
    folder : Path
        For the volume, the ConfigMap's files, the pods' logs and what a service account is given.
    programs : Path
        Of the environment that stands for the image.
    secret : dict
        What the Secret `quarterdeck` has.
    """
    root = folder / "quarterdeck"
    (root / "home").mkdir(parents=True)
    (root / "dagster").mkdir()
    image = folder / "image"
    image.mkdir()
    dagster = image / "dagster"
    dagster.write_text(f'#!/bin/sh\nexec {programs}/python -m dagster "$@"\n')
    dagster.chmod(0o755)
    cluster = Cluster(root, image, secret)
    for name in ("dagster.yaml", "workspace.yaml"):
        (root / "dagster" / name).write_text(cluster.here((DEPLOY / name).read_text("utf-8")))
    account = folder / "serviceaccount"
    account.mkdir()
    (account / "token").write_text(TOKEN)
    _write_certificate(account / "ca.crt", folder / "key.pem")
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Api", (_Api,), {"cluster": cluster}), bind_and_activate=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(account / "ca.crt", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    cluster.url = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        cluster.end()
        server.shutdown()
        server.server_close()
        thread.join()


def _write_certificate(certificate: Path, key_file: Path) -> None:
    """Write a certificate of 127.0.0.1 that is its own authority, and its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes of a test")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
        )
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
