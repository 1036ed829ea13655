"""Who may talk to whom: the policies as a set of arrows, which must be exactly those of the picture."""

import json

from chart import named
from rules import matches, rule

BROKER_USERS = ["gateway", "history-worker", "search-worker", "auth-service", "setup", "verify", "replay"]
DATABASE_USERS = ["history-worker", "auth-service"]
SERVICES = BROKER_USERS[:4]


def peer(there):
    """A peer from outside; no peers at all are everybody."""
    return json.dumps(there, sort_keys=True)


def wanted(rendered):
    """Each arrow: (from, to, port). Who calls must be let out, and who is called must let in."""
    values = rendered.values
    policy = values["networkPolicy"]
    users = BROKER_USERS + (["backup"] if values["jobs"]["backup"]["enabled"] else [])
    out, into = set(), set()

    def inside(source, target, port):
        out.add((source, target, port))
        into.add((source, target, port))

    def outside(source, peers, port):
        out.update((source, peer(there), port) for there in peers or [None])

    for user in users:
        if values["nats"]["enabled"]:
            inside(user, "nats", "TCP 4222")
        else:
            outside(user, policy["nats"]["to"], f"TCP {policy['nats']['port']}")
    if values["nats"]["enabled"] and values["nats"]["exporter"]["enabled"]:
        into.update((peer(there), "nats", "TCP 7777") for there in policy["prometheus"] or [None])
    for user in DATABASE_USERS:
        if values["surrealdb"]["enabled"]:
            inside(user, "surrealdb", "TCP 8000")
        else:
            outside(user, policy["database"]["to"], f"TCP {policy['database']['port']}")
    if values["nats"]["enabled"]:
        inside("nats", "nats", "TCP 6222")
    if values["jobs"]["backup"]["enabled"]:
        outside("backup", policy["bucket"]["to"], f"TCP {policy['bucket']['port']}")
    if values["traces"]["url"]:
        for service in ("gateway", "history-worker", "search-worker"):
            outside(service, policy["collector"]["to"], f"TCP {policy['collector']['port']}")
    for front in ("gateway", "auth-service"):
        inside("test", front, "TCP 8080")
        into.update((peer(there), front, "TCP 8080") for there in policy["edge"] or [None])
    for service in SERVICES:
        into.update((peer(there), service, "TCP 9080") for there in policy["prometheus"] or [None])
    for service, key in (("gateway", "gateway"), ("history-worker", "historyWorker"), ("auth-service", "authService")):
        if values[key]["autoscaling"]["mode"] == "keda":
            into.update((peer(there), service, "TCP 9080") for there in policy["keda"] or [None])
    for everybody in users + ["test"] + (["nats"] if values["nats"]["enabled"] else []):
        for port in policy["dnsPorts"]:
            for protocol in ("TCP", "UDP"):
                outside(everybody, policy["dns"], f"{protocol} {port}")
    return out, into


def found(rendered):
    components = {meta["labels"]["app.kubernetes.io/component"]: meta["labels"] for _, _, meta, _ in rendered.pods()}

    def ends(peers):
        if not peers:
            return {peer(None)}
        both = set()
        for there in peers:
            own = there.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/instance") == rendered.release
            if own and "namespaceSelector" not in there:
                both |= {name for name, labels in components.items() if matches(there["podSelector"], labels)}
            else:
                both.add(peer(there))
        return both

    out, into = set(), set()
    for policy in rendered.of("NetworkPolicy"):
        for name, labels in components.items():
            if not matches(policy["spec"]["podSelector"], labels):
                continue
            for arrow in policy["spec"].get("egress", []):
                ports = [f"{port['protocol']} {port['port']}" for port in arrow["ports"]]
                out |= {(name, end, port) for end in ends(arrow.get("to")) for port in ports}
            for arrow in policy["spec"].get("ingress", []):
                ports = [f"{port['protocol']} {port['port']}" for port in arrow["ports"]]
                into |= {(end, name, port) for end in ends(arrow.get("from")) for port in ports}
    return out, into


def denies(policy):
    spec = policy["spec"]
    return set(spec["policyTypes"]) == {"Ingress", "Egress"} and not spec.get("ingress") and not spec.get("egress")


@rule
def nobody_talks_to_anybody_unless_allowed(rendered):
    policies = rendered.of("NetworkPolicy")
    if not rendered.values["networkPolicy"]["enabled"]:
        yield from (f"{named(policy)} although they are off" for policy in policies)
        return
    everybody = [meta["labels"] for _, _, meta, _ in rendered.pods()]
    if not any(denies(policy) and all(matches(policy["spec"]["podSelector"], labels) for labels in everybody) for policy in policies):
        yield "nothing denies what is not allowed"
    for way, is_wanted, is_found in zip(("out", "in"), wanted(rendered), found(rendered)):
        yield from (f"{way}: {arrow} is not allowed" for arrow in sorted(is_wanted - is_found, key=str))
        yield from (f"{way}: {arrow} is allowed" for arrow in sorted(is_found - is_wanted, key=str))
    if any(arrow[0] == "gateway" and (arrow[1] == "surrealdb" or arrow[2] == "TCP 8000") for arrow in found(rendered)[0]):
        yield "a gateway may talk to the database"
