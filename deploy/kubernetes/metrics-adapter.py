"""custom.metrics.k8s.io: some metrics (METRICS), read from the page that each pod has at PORT, for the autoscalers of the cluster."""

import json
import os
import re
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RUN, ADDRESS, METRICS, PORT = Path(os.environ["RUN"]), os.environ["ADDRESS"], os.environ["METRICS"].split(), os.environ["PORT"]
KUBECTL = [os.environ["KUBECTL"], "--kubeconfig", str(RUN / "admin.kubeconfig")]
KEY, CERTIFICATE = RUN / "adapter.key", RUN / "adapter.crt"
LISTEN = 6444
ANSWER = 2
GROUP = "custom.metrics.k8s.io/v1beta1"
PODS = re.compile(rf"/apis/{GROUP}/namespaces/([^/]+)/pods/\*/(\w+)")
LIST = {
    "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP,
    "resources": [
        {"name": f"pods/{metric}", "singularName": "", "namespaced": True, "kind": "MetricValueList", "verbs": ["get"]} for metric in METRICS
    ],
}
NOT_FOUND = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        path = urllib.parse.unquote(url.path).rstrip("/")
        asked = PODS.fullmatch(path)
        if path == f"/apis/{GROUP}":
            self.answer(200, LIST)
        elif asked and asked[2] in METRICS:
            selector = urllib.parse.parse_qs(url.query).get("labelSelector", [""])[0]
            self.answer(200, {"kind": "MetricValueList", "apiVersion": GROUP, "metadata": {}, "items": list(values(*asked.groups(), selector))})
        else:
            self.answer(404, NOT_FOUND)

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def values(namespace, metric, selector):
    """A metric of every pod that answers and is not about to leave."""
    pods = subprocess.check_output([*KUBECTL, "get", "pods", "--namespace", namespace, "--selector", selector, "--output", "json"])
    for pod in json.loads(pods)["items"]:
        address = pod["status"].get("podIP")
        if not address or pod["metadata"].get("deletionTimestamp"):
            continue
        try:
            page = urllib.request.urlopen(f"http://{address}:{PORT}/metrics", timeout=ANSWER).read().decode()
        except OSError:
            continue
        for value in re.findall(rf"^{metric} (\d+)", page, re.M):
            yield {
                "describedObject": {"kind": "Pod", "namespace": namespace, "name": pod["metadata"]["name"], "apiVersion": "/v1"},
                "metricName": metric, "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "value": value,
            }


def main():
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", KEY, "-out", CERTIFICATE, "-days", "30", "-subj", "/CN=adapter"],
        check=True, stderr=subprocess.DEVNULL,
    )
    server = ThreadingHTTPServer((ADDRESS, LISTEN), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
