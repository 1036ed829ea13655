"""A stand-in for a cluster's API that knows what it is given and nothing else, so that Helm's `lookup` finds what an earlier release
made."""

import base64
import json
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# The kinds that the chart writes, by API: Helm asks for each before it renders the rest.
KINDS = {
    "v1": ["ConfigMap", "Pod", "Secret", "Service", "ServiceAccount"],
    "apps/v1": ["Deployment", "StatefulSet"],
    "batch/v1": ["CronJob", "Job"],
    "networking.k8s.io/v1": ["NetworkPolicy"],
    "policy/v1": ["PodDisruptionBudget"],
}


def resources(api):
    names = {kind: f"{kind.lower().removesuffix('y')}{'ies' if kind.endswith('y') else 's'}" for kind in KINDS[api]}
    entries = [{"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get", "list"]} for kind, name in names.items()]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api, "resources": entries}


def group(api):
    version = {"groupVersion": api, "version": api.partition("/")[2]}
    return {"name": api.partition("/")[0], "versions": [version], "preferredVersion": version}


DISCOVERY = {
    "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(api) for api in KINDS if "/" in api]},
    **{f"/{'apis' if '/' in api else 'api'}/{api}": resources(api) for api in KINDS},
}
MISSING = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


def stored(thing, release="demo", space="chat"):
    """As the API shows something that Helm has installed: its release's own, and of a secret everything in base64."""
    owner = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": space}
    metadata = {**thing["metadata"], "annotations": {**thing["metadata"].get("annotations", {}), **owner}}
    shown = {key: value for key, value in thing.items() if key != "stringData"}
    if thing["kind"] == "Secret":
        texts = {key: base64.b64encode(value.encode()).decode() for key, value in thing.get("stringData", {}).items()}
        shown["data"] = {**thing.get("data", {}), **texts}
    return {**shown, "metadata": metadata}


def path_of(thing):
    api, kind = thing["apiVersion"], thing["kind"]
    name = next(found["name"] for found in resources(api)["resources"] if found["kind"] == kind)
    return f"/{'apis' if '/' in api else 'api'}/{api}/namespaces/chat/{name}/{thing['metadata']['name']}"


@contextmanager
def with_objects(objects):
    """The path of a kubeconfig for a cluster that has these."""
    known = {path_of(thing): thing for thing in objects}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            answer = DISCOVERY.get(path) or known.get(path)
            body = json.dumps(answer or MISSING).encode()
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
            file = Path(folder, "kubeconfig")
            file.write_text(json.dumps(config))
            yield str(file)
    finally:
        server.shutdown()
        server.server_close()
