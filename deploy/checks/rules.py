"""What no schema knows: rules over every rendered object. Each is a function from what was rendered to the faults in it."""

import base64
import json
import re
from pathlib import Path

from chart import named

REFERENCE = Path(__file__).parents[2] / "docs/operations/metrics.md"

SERVICES = {"gateway", "history-worker", "search-worker", "auth-service"}
SELECTOR = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
# Programs that are not called like their images.
PROGRAMS = {"nats": "nats-server", "surrealdb": "surreal"}
RULES = []


def rule(function):
    RULES.append(function)
    return function


def workloads(rendered):
    """What runs for as long as the release: (owner, component, spec of the pod)."""
    for owner, component, _, spec in rendered.pods():
        if owner["kind"] in ("Deployment", "StatefulSet"):
            yield owner, component, spec


def containers(rendered):
    for owner, component, _, spec in rendered.pods():
        for container in spec.get("initContainers", []) + spec["containers"]:
            yield owner, component, container


def matches(selector, labels):
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In", expression
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


@rule
def every_image_says_which(rendered):
    for owner, _, container in containers(rendered):
        name, _, digest = container["image"].partition("@")
        tag = name.rpartition("/")[2].partition(":")[2]
        if not tag or tag == "latest" or (digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest)):
            yield f"{named(owner)}: {container['image']}"


@rule
def every_container_asks_for_what_it_needs_and_no_more(rendered):
    for owner, component, container in containers(rendered):
        requests = container.get("resources", {}).get("requests", {})
        limits = container.get("resources", {}).get("limits", {})
        if not {"cpu", "memory"} <= requests.keys() or "memory" not in limits:
            yield f"{named(owner)}: {container['name']} has no requests or no memory limit"
        if component == "gateway" and "cpu" in limits:
            yield f"{named(owner)}: a gateway has a CPU limit"
        for what in requests.keys() & limits.keys():
            if amount(requests[what]) > amount(limits[what]):
                yield f"{named(owner)}: {container['name']} asks for more {what} than it may have"


def amount(quantity):
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(quantity)).groups()
    powers = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    return float(number) * powers[unit]


@rule
def every_pod_is_confined(rendered):
    """The profile "restricted" of pod security, and a root file system that nobody writes to."""
    for owner, _, _, spec in rendered.pods():
        pod = spec.get("securityContext", {})
        if pod.get("runAsNonRoot") is not True or not pod.get("runAsUser") or pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{named(owner)}: the pod may be root, or has no seccomp profile"
        if spec.get("hostNetwork") or spec.get("hostPID") or spec.get("hostIPC"):
            yield f"{named(owner)}: it shares namespaces with its node"
        for volume in spec.get("volumes", []):
            if not volume.keys() & {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"}:
                yield f"{named(owner)}: volume {volume['name']} is of a kind that is not allowed"
    for owner, _, container in containers(rendered):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{named(owner)}: {container['name']} may gain rights"
        if own.get("readOnlyRootFilesystem") is not True or own.get("privileged") or own.get("runAsUser") == 0:
            yield f"{named(owner)}: {container['name']} may write to its image, or is root"


@rule
def hooks_leave_nothing_behind(rendered):
    """What a hook makes belongs to no release, so that no uninstallation takes it away."""
    for found in rendered.objects:
        notes = found["metadata"].get("annotations", {})
        kept = {"before-hook-creation", "hook-succeeded"} - set(notes.get("helm.sh/hook-delete-policy", "").split(","))
        if "helm.sh/hook" in notes and kept:
            yield f"{named(found)}: its hook-delete-policy lacks {' and '.join(sorted(kept))}"


@rule
def nobody_has_a_token_of_the_cluster(rendered):
    accounts = {account["metadata"]["name"]: account for account in rendered.of("ServiceAccount")}
    for owner, _, _, spec in rendered.pods():
        account = accounts.get(spec.get("serviceAccountName"))
        if account is None or account.get("automountServiceAccountToken") is not False:
            yield f"{named(owner)}: no service account of its own without a token"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{named(owner)}: the pod mounts a token"
    for found in rendered.objects:
        if "rbac" in found["apiVersion"]:
            yield f"{named(found)}: nobody needs rights in the cluster"


@rule
def no_pod_is_told_of_services(rendered):
    for owner, _, _, spec in rendered.pods():
        if spec.get("enableServiceLinks") is not False:
            yield named(owner)


@rule
def containers_are_called_like_their_programs(rendered):
    for owner, _, container in containers(rendered):
        image = container["image"].partition("@")[0].rpartition("/")[2].partition(":")[0]
        if container["name"] != PROGRAMS.get(image, image):
            yield f"{named(owner)}: {container['name']} runs {image}"
        if "command" in container:
            yield f"{named(owner)}: {container['name']} names its program, which the image does"


@rule
def what_runs_is_asked_whether_it_lives_and_serves(rendered):
    for owner, component, spec in workloads(rendered):
        container = spec["containers"][0]
        live, ready, start = (container.get(f"{what}Probe", {}) for what in ("liveness", "readiness", "startup"))
        for what, probe in (("liveness", live), ("readiness", ready), ("startup", start)):
            if "httpGet" not in probe:
                yield f"{named(owner)}: no {what} probe by HTTP"
        if live.get("timeoutSeconds", 1) < 5 or live.get("failureThreshold", 3) < 6:
            yield f"{named(owner)}: its liveness is not lenient"
        patience = ready.get("periodSeconds", 10) * ready.get("failureThreshold", 3)
        if patience > (30 if component == "nats" else 10):
            yield f"{named(owner)}: its readiness is not strict"
        if component in SERVICES:
            paths = [probe.get("httpGet", {}).get("path") for probe in (start, live, ready)]
            ports = {probe.get("httpGet", {}).get("port") for probe in (start, live, ready)}
            if paths != ["/livez", "/livez", "/readyz"] or ports != {"operations"}:
                yield f"{named(owner)}: it is asked {paths} at {ports}"


@rule
def a_drain_of_nodes_takes_one_pod_at_a_time(rendered):
    budgets = rendered.of("PodDisruptionBudget")
    for owner, component, _ in workloads(rendered):
        if component == "surrealdb":
            continue
        labels = owner["spec"]["template"]["metadata"]["labels"]
        found = [budget for budget in budgets if matches(budget["spec"]["selector"], labels)]
        if len(found) != 1 or found[0]["spec"].get("maxUnavailable") != 1 or "minAvailable" in found[0]["spec"]:
            yield f"{named(owner)}: {len(found)} budgets, or not one pod at a time"


@rule
def pods_spread_over_zones_and_nodes(rendered):
    for owner, component, spec in workloads(rendered):
        if component == "surrealdb":
            continue
        labels = owner["spec"]["template"]["metadata"]["labels"]
        good = {
            spread["topologyKey"]
            for spread in spec.get("topologySpreadConstraints", [])
            if spread["whenUnsatisfiable"] == "ScheduleAnyway" and matches(spread["labelSelector"], labels)
        }
        if good != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{named(owner)}: {sorted(good)}"


@rule
def a_roll_out_goes_up_before_it_goes_down(rendered):
    for owner in rendered.of("Deployment"):
        spec = owner["spec"]
        rolling = spec.get("strategy", {}).get("rollingUpdate", {})
        if rolling.get("maxUnavailable") != 0 or rolling.get("maxSurge") in (None, 0, "0%"):
            yield f"{named(owner)}: {rolling}"
        if not spec.get("minReadySeconds"):
            yield f"{named(owner)}: no minReadySeconds"


@rule
def a_pod_has_the_time_it_needs_to_stop(rendered):
    for owner, component, spec in workloads(rendered):
        if component not in SERVICES:
            continue
        pause = spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain = 0
        if component == "gateway":
            settings = configured(rendered, spec)
            drain = -(-int(settings["BACKCHAT_GATEWAY_DRAIN_MS"]) // 1000)
        if spec.get("terminationGracePeriodSeconds", 30) < pause + drain + 20:
            yield f"{named(owner)}: {spec.get('terminationGracePeriodSeconds', 30)} s for {pause} + {drain} + 20"
        wanted = {"gateway": "gateway", "history-worker": "historyWorker", "search-worker": "searchWorker", "auth-service": "authService"}
        if pause != rendered.values[wanted[component]]["preStopSeconds"]:
            yield f"{named(owner)}: it does not sleep before it stops"


@rule
def gateways_share_what_there_is_to_do(rendered):
    gateway = rendered.values["gateway"]
    for owner, component, spec in workloads(rendered):
        if component != "gateway":
            continue
        settings = configured(rendered, spec)
        for target, value in ("sockets_target", "sockets"), ("sent_bytes_per_second_target", "sentBytesPerSecond"):
            wanted = gateway["settings"].get(target, gateway["autoscaling"][value])
            if settings.get(f"BACKCHAT_GATEWAY_{target.upper()}") != str(int(wanted)):
                yield f"{named(owner)}: {target} is not {wanted}"


def configured(rendered, spec):
    """The settings that a pod's container has by a config map."""
    names = {source["configMapRef"]["name"] for source in spec["containers"][0].get("envFrom", [])}
    return {key: value for found in rendered.of("ConfigMap") if found["metadata"]["name"] in names for key, value in found["data"].items()}


@rule
def replicas_have_one_master(rendered):
    scaled = {}
    for scaler in rendered.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        scaled.setdefault((target["kind"], target["name"]), []).append(scaler)
    for owner, _, _ in workloads(rendered):
        scalers = scaled.pop((owner["kind"], owner["metadata"]["name"]), [])
        if ("replicas" in owner["spec"]) + len(scalers) != 1:
            yield f"{named(owner)}: {len(scalers)} autoscalers, replicas {owner['spec'].get('replicas')}"
        for scaler in scalers:
            spec = scaler["spec"]
            least, most = spec.get("minReplicas", spec.get("minReplicaCount")), spec.get("maxReplicas", spec.get("maxReplicaCount"))
            if not 1 <= least <= most:
                yield f"{named(scaler)}: from {least} to {most}"
            behavior = spec.get("behavior") or spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
            down = behavior["scaleDown"]
            if down["stabilizationWindowSeconds"] < 300 or down["policies"] != [{"type": "Pods", "value": 1, "periodSeconds": 60}]:
                yield f"{named(scaler)}: it scales down in haste"
            if owner["metadata"]["name"].endswith("-history-worker") and most > rendered.values["shards"]:
                yield f"{named(scaler)}: more workers than shards"
    for kind, name in scaled:
        yield f"an autoscaler is for {kind}/{name}, which does not exist"


@rule
def autoscalers_read_gauges_of_what_they_scale(rendered):
    gauges = set(re.findall(r"^\| `(\w+)` \| gauge \|", REFERENCE.read_text(), re.M))
    for scaler in rendered.of("HorizontalPodAutoscaler", "ScaledObject"):
        spec = scaler["spec"]
        asked = [metric["pods"]["metric"]["name"] for metric in spec.get("metrics", [])]
        asked += [trigger["metadata"]["valueLocation"] for trigger in spec.get("triggers", [])]
        service = scaler["metadata"]["labels"]["app.kubernetes.io/component"].replace("-", "_")
        for metric in asked:
            if metric not in gauges or not metric.startswith(f"backchat_{service}_"):
                yield f"{named(scaler)}: {metric} is no gauge of {service}"
        if not asked:
            yield f"{named(scaler)}: it reads no metric"


@rule
def selectors_never_change(rendered):
    for owner, _, _ in workloads(rendered):
        selector = owner["spec"]["selector"]
        if set(selector["matchLabels"]) != SELECTOR or "matchExpressions" in selector:
            yield f"{named(owner)}: {selector}"
        if not matches(selector, owner["spec"]["template"]["metadata"]["labels"]):
            yield f"{named(owner)}: its pods are not its own"


@rule
def every_port_says_its_protocol(rendered):
    for owner, _, container in containers(rendered):
        ports = container.get("ports", [])
        for port in ports:
            if "protocol" not in port or "name" not in port or not 0 < port["containerPort"] < 65536:
                yield f"{named(owner)}: {port}"
        if len({port.get("name") for port in ports}) != len(ports):
            yield f"{named(owner)}: two ports of one name"
    for service in rendered.of("Service"):
        for port in service["spec"]["ports"]:
            if "protocol" not in port or "name" not in port or "appProtocol" not in port:
                yield f"{named(service)}: {port}"
            is_socket = service["metadata"]["name"].endswith("-gateway")
            if is_socket and port.get("appProtocol") != "kubernetes.io/ws":
                yield f"{named(service)}: sockets are not announced as such"
    for policy in rendered.of("NetworkPolicy"):
        for way in ("ingress", "egress"):
            for arrow in policy["spec"].get(way, []):
                if not arrow.get("ports") or any("protocol" not in port for port in arrow["ports"]):
                    yield f"{named(policy)}: {arrow}"


@rule
def whatever_is_named_is_there(rendered):
    there = {(found["kind"], found["metadata"]["name"]) for found in rendered.objects}
    there |= {("Secret", name) for name in rendered.of_yours if name}
    labels = [(meta["labels"], spec) for _, _, meta, spec in rendered.pods()]
    for owner, _, meta, spec in rendered.pods():
        claims = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for volume in volumes.values():
            if "secret" in volume and ("Secret", volume["secret"]["secretName"]) not in there:
                yield f"{named(owner)}: secret {volume['secret']['secretName']}"
            if "configMap" in volume and ("ConfigMap", volume["configMap"]["name"]) not in there:
                yield f"{named(owner)}: config map {volume['configMap']['name']}"
        everywhere = set()
        for container in spec["containers"]:
            ports = {port["name"] for port in container.get("ports", [])}
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            for missing in mounted - volumes.keys() - claims:
                yield f"{named(owner)}: volume {missing}"
            everywhere |= mounted
            for variable in container.get("env", []):
                source = variable.get("valueFrom", {}).get("secretKeyRef")
                if source and not has_key(rendered, source, there):
                    yield f"{named(owner)}: secret {source}"
            for source in container.get("envFrom", []):
                if ("ConfigMap", source["configMapRef"]["name"]) not in there:
                    yield f"{named(owner)}: config map {source}"
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if container.get(probe, {}).get("httpGet", {}).get("port") not in ports | {None}:
                    yield f"{named(owner)}: {probe} asks a port that is not there"
        for idle in (volumes.keys() | claims) - everywhere:
            yield f"{named(owner)}: volume {idle} is mounted nowhere"
    services = {}
    for service in rendered.of("Service"):
        found = [spec for meta, spec in labels if matches({"matchLabels": service["spec"]["selector"]}, meta)]
        ports = {port["name"] for spec in found for container in spec["containers"] for port in container.get("ports", [])}
        services[service["metadata"]["name"]] = service
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in ports:
                yield f"{named(service)}: nobody has its port {port['targetPort']}"
    for owner in rendered.of("StatefulSet"):
        if owner["spec"]["serviceName"] not in services:
            yield f"{named(owner)}: service {owner['spec']['serviceName']}"
    for scaler in rendered.of("ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            service, space, port = re.fullmatch(r"http://([^.]+)\.([^.]+)\.svc:([0-9]+)/metrics", trigger["metadata"]["url"]).groups()
            selector = services[service]["spec"]["selector"] if service in services else {"": ""}
            found = [spec for meta, spec in labels if matches({"matchLabels": selector}, meta)]
            numbers = {(port["name"], str(port["containerPort"])) for spec in found for container in spec["containers"] for port in container["ports"]}
            targets = {port["targetPort"] for port in services.get(service, {"spec": {"ports": []}})["spec"]["ports"]}
            # KEDA asks the pods of a Service that leads to this very port.
            if space != "chat" or not any((target, port) in numbers for target in targets):
                yield f"{named(scaler)}: nobody answers at {trigger['metadata']['url']}"
    for name in backends(rendered):
        if name not in services:
            yield f"the edge leads to {name}, which is not there"


def has_key(rendered, source, there):
    if ("Secret", source["name"]) not in there:
        return False
    own = [secret for secret in rendered.of("Secret") if secret["metadata"]["name"] == source["name"]]
    return not own or source["key"] in {**own[0].get("data", {}), **own[0].get("stringData", {})}


def backends(rendered):
    for route in rendered.of("HTTPRoute"):
        for part in route["spec"]["rules"]:
            yield from (backend["name"] for backend in part["backendRefs"])
    for ingress in rendered.of("Ingress"):
        for part in ingress["spec"]["rules"]:
            yield from (path["backend"]["service"]["name"] for path in part["http"]["paths"])


@rule
def the_edge_sends_logins_to_the_auth_service_and_all_else_to_gateways(rendered):
    for route in rendered.of("HTTPRoute"):
        found = {
            part["matches"][0]["path"]["value"]: (part["backendRefs"][0]["name"], part.get("timeouts", {}).get("request"))
            for part in route["spec"]["rules"]
        }
        names = {path: (name.partition("backchat-")[2], limit) for path, (name, limit) in found.items()}
        if names != {"/auth": ("auth-service", None), "/": ("gateway", "0s")}:
            yield f"{named(route)}: {names}"
    for ingress in rendered.of("Ingress"):
        for part in ingress["spec"]["rules"]:
            found = {path["path"]: path["backend"]["service"]["name"].partition("backchat-")[2] for path in part["http"]["paths"]}
            if found != {"/auth": "auth-service", "/": "gateway"}:
                yield f"{named(ingress)}: {found}"


# What each controller is told, that sockets may be quiet.
QUIET = {
    "nginx": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "3600", "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600"},
    "haproxy": {"haproxy.org/timeout-tunnel": "1h"},
    "alb": {"alb.ingress.kubernetes.io/load-balancer-attributes": "idle_timeout.timeout_seconds=3600"},
}


@rule
def the_ingress_lets_sockets_be_quiet(rendered):
    values = rendered.values["ingress"]
    wanted = {**QUIET.get(values["controller"], {}), **values["annotations"]}
    for ingress in rendered.of("Ingress"):
        if ingress["metadata"].get("annotations", {}) != wanted:
            yield f"{named(ingress)}: {ingress['metadata'].get('annotations', {})}"


@rule
def users_of_databases_own_nothing(rendered):
    """They read, write, and define tables; only the server's own user makes users."""
    for secret in rendered.of("Secret"):
        for line in secret.get("stringData", {}).get("users.surql", "").splitlines():
            if "ON DATABASE" in line and not line.endswith("ROLES EDITOR;"):
                yield f"{named(secret)}: {line.partition(' PASSWORD')[0]} {line.rpartition('ROLES')[2]}"


@rule
def secrets_lie_in_secrets_alone(rendered):
    hidden = set()
    for secret in rendered.of("Secret"):
        hidden |= {base64.b64decode(value).decode() for value in secret.get("data", {}).values()}
        hidden |= {value for value in secret.get("stringData", {}).values()}
    # Certificates are no secret.
    hidden = {text for text in hidden if "BEGIN CERTIFICATE" not in text}
    for found in rendered.objects:
        if found["kind"] != "Secret":
            text = json.dumps(found)
            if any(json.dumps(secret)[1:-1] in text for secret in hidden):
                yield f"{named(found)}: it shows a secret"
    for owner, _, container in containers(rendered):
        for variable in container.get("env", []):
            if re.search("PASS|SECRET|ACCESS_KEY", variable["name"]) and "secretKeyRef" not in variable.get("valueFrom", {}):
                yield f"{named(owner)}: {variable['name']} is in the open"
            if re.search(r"://[^@/]*:(?!\$\()[^@/]*@", variable.get("value", "")):
                yield f"{named(owner)}: {variable['name']} holds a password"
        if re.search("pass|secret", " ".join(container.get("args", [])), re.IGNORECASE):
            yield f"{named(owner)}: a secret among the arguments"
    for found in rendered.of("ConfigMap"):
        if any(re.search("PASS|SECRET", key) for key in found["data"]):
            yield f"{named(found)}: a secret in a config map"


@rule
def the_root_key_goes_to_those_who_open_texts(rendered):
    for owner, component, _, spec in rendered.pods():
        has = any(volume["name"] == "roots" for volume in spec.get("volumes", []))
        if has != (component in {"gateway", "search-worker", "auth-service"}):
            yield named(owner)
    for secret in rendered.of("Secret"):
        if secret["metadata"]["name"].endswith("-root-key"):
            if secret["metadata"].get("annotations", {}).get("helm.sh/resource-policy") != "keep":
                yield f"{named(secret)}: it goes with the release"
            if secret.get("immutable") is not True:
                yield f"{named(secret)}: it can be overwritten"
            key = base64.b64decode(secret["data"]["root-1"]).decode()
            if not re.fullmatch(r"[A-Za-z0-9_-]{43}", key):
                yield f"{named(secret)}: it is no root key"


@rule
def the_keys_of_certificates_stay_with_their_servers(rendered):
    for owner, component, _, spec in rendered.pods():
        for volume in spec.get("volumes", []):
            if volume["name"].endswith("-ca") and [item["key"] for item in volume["secret"].get("items", [])] != ["ca.crt"]:
                yield f"{named(owner)}: {volume['name']} has more than the authority"
            if volume["name"] == "tls" and component not in PROGRAMS:
                yield f"{named(owner)}: it has a server's key"


@rule
def names_are_short_enough(rendered):
    for found in rendered.objects:
        most = {"CronJob": 52, "StatefulSet": 52}.get(found["kind"], 63)
        name = found["metadata"]["name"]
        if len(name) > most or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
            yield named(found)
    seen = [(found["kind"], found["metadata"]["name"]) for found in rendered.objects]
    yield from (f"{kind}/{name} twice" for kind, name in {pair for pair in seen if seen.count(pair) > 1})


@rule
def jobs_can_be_run_again(rendered):
    suspended = {job["metadata"]["name"].rpartition("-")[2]: job["spec"].get("suspend") for job in rendered.of("CronJob")}
    wanted = {"verify": rendered.values["jobs"]["verify"]["suspend"], "replay": True}
    if rendered.values["jobs"]["backup"]["enabled"]:
        wanted["backup"] = None
    if suspended != wanted:
        yield f"jobs {suspended}"
    for owner, component, _, spec in rendered.pods():
        if component == "backup" and "$(POD_NAME)" not in spec["containers"][0]["args"][-1]:
            yield f"{named(owner)}: two backups would have one place"
    setup = [owner for owner, component, _, _ in rendered.pods() if component == "setup"]
    if [owner["kind"] for owner in setup] != ["Job"] or not re.search("-[0-9a-f]{8}$", setup[0]["metadata"]["name"]):
        yield "the set-up step is no job of this release alone"


@rule
def the_test_does_what_people_do(rendered):
    for owner, component, _, spec in rendered.pods():
        if component != "test":
            continue
        verb, *addresses = spec["containers"][0]["args"][:3]
        names = [service["metadata"]["name"] for service in rendered.of("Service")]
        fronts = [name for end in ("-gateway", "-auth-service") for name in names if name.endswith(end)]
        if verb != "try" or addresses != [f"http://{name}:8080" for name in fronts]:
            yield f"{named(owner)}: {verb} {addresses} tries no chat"


NEEDS = {
    "gateway": {"LISTEN", "OPERATIONS", "ROOTS", "NATS"},
    "auth-service": {"LISTEN", "OPERATIONS", "ROOTS", "NATS", "DATABASE"},
    "history-worker": {"OPERATIONS", "NATS", "DATABASE"},
    "search-worker": {"OPERATIONS", "ROOTS", "INDEX", "NATS"},
    "backchat-setup": {"NATS", "SHARDS", "REPLICAS"},
    "backchat": {"NATS"},
}
PREFIX = {"backchat-setup": "BACKCHAT_SETUP_", "backchat": "BACKCHAT_"}


@rule
def every_program_is_told_what_it_needs(rendered):
    for owner, component, _, spec in rendered.pods():
        container = spec["containers"][0]
        program = container["name"]
        if program not in NEEDS or component == "test":
            continue
        prefix = PREFIX.get(program, f"BACKCHAT_{program.upper().replace('-', '_')}_")
        told = {**configured(rendered, spec), **{variable["name"]: variable.get("value") for variable in container.get("env", [])}}
        told = {name.removeprefix(prefix): value for name, value in told.items() if name.startswith(prefix)}
        mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        missing = NEEDS[program] - {"NATS"} - told.keys()
        if missing:
            yield f"{named(owner)}: nobody says {sorted(missing)}"
        nats, surrealdb = rendered.values["nats"], rendered.values["surrealdb"]
        if not {"NATS_URL", "NATS_USER", "NATS_PASSWORD"} <= told.keys():
            yield f"{named(owner)}: it can't come in at the broker"
        if nats["enabled"] and not told.get("NATS_URL", "").startswith("tls://" if nats["tls"]["enabled"] else "nats://"):
            yield f"{named(owner)}: it talks to the broker {'in the open' if nats['tls']['enabled'] else 'by TLS, which it has not'}"
        believes = nats["tls"]["enabled"] and (nats["enabled"] or nats["tls"]["existingSecret"])
        if bool(believes) != ("NATS_CA" in told) or (believes and told["NATS_CA"].rpartition("/")[0] not in mounts):
            yield f"{named(owner)}: it does not believe the broker's authority"
        if "DATABASE" in NEEDS[program] and surrealdb["enabled"]:
            url = told.get("DATABASE") or ""
            ca = url.partition("?ca=")[2]
            if surrealdb["tls"]["enabled"] != url.startswith("wss://") or surrealdb["tls"]["enabled"] != (ca.rpartition("/")[0] in mounts):
                yield f"{named(owner)}: it does not talk to its database as that does: {url}"
        if "ROOTS" in NEEDS[program] and told.get("ROOTS") not in mounts:
            yield f"{named(owner)}: its root keys are not where it looks"
