"""The cluster's DNS: services, and pods of headless services, as a file of hosts that dnsmasq reads anew when it changes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

RUN, ADDRESS = Path(os.environ["RUN"]), os.environ["ADDRESS"]
KUBECTL = [os.environ["KUBECTL"], "--kubeconfig", str(RUN / "admin.kubeconfig")]
HOSTS = RUN / "hosts"
DNSMASQ = [
    "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--addn-hosts={HOSTS}", "--local=/cluster.local/",
    f"--listen-address={ADDRESS}", "--bind-interfaces", "--user=root", "--pid-file=", "--local-ttl=1", "--neg-ttl=1",
]
LOOK_EVERY = 1


def main():
    HOSTS.touch()
    dnsmasq = subprocess.Popen(DNSMASQ)
    signal.signal(signal.SIGTERM, lambda *_: (dnsmasq.terminate(), sys.exit(0)))
    told = None
    while dnsmasq.poll() is None:
        asked = subprocess.run([*KUBECTL, "get", "services,endpoints", "--all-namespaces", "--output", "json"], capture_output=True)
        if asked.returncode == 0:
            hosts = "\n".join(sorted(lines(json.loads(asked.stdout)["items"]))) + "\n"
            if hosts != told:
                HOSTS.write_text(hosts)
                dnsmasq.send_signal(signal.SIGHUP)
                told = hosts
        time.sleep(LOOK_EVERY)


def lines(items):
    """An address and its names, for each service and each pod of one without an address."""
    headless = {place(item) for item in items if item["kind"] == "Service" and item["spec"].get("clusterIP") == "None"}
    for item in items:
        if item["kind"] == "Service" and place(item) not in headless and item["spec"].get("clusterIP"):
            yield f"{item['spec']['clusterIP']} {place(item)}"
        if item["kind"] == "Endpoints" and place(item) in headless:
            yield from pods(item)


def pods(endpoints):
    name = place(endpoints)
    for subset in endpoints.get("subsets") or []:
        addresses = subset.get("addresses") or []
        for address in addresses:
            own = f" {address['hostname']}.{name}" if address.get("hostname") else ""
            yield f"{address['ip']} {name}{own}"


def place(item):
    return f"{item['metadata']['name']}.{item['metadata']['namespace']}.svc.cluster.local"


if __name__ == "__main__":
    main()
