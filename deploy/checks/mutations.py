"""Mistakes, each of which its rule must find: a rule that nothing breaks proves nothing."""

import copy

from chart import Rendered


def pick(rendered, kind, end):
    return next(found for found in rendered.of(kind) if found["metadata"]["name"].endswith(end))


def pod(rendered, component="gateway"):
    return next(spec for _, name, _, spec in rendered.pods() if name == component)


def container(rendered, component="gateway"):
    return pod(rendered, component)["containers"][0]


def deployment(rendered, component="gateway"):
    return pick(rendered, "Deployment", f"-{component}")["spec"]


def drop(rendered, kind, end):
    rendered.objects.remove(pick(rendered, kind, end))


def rewrite(rendered, kind, end, key, old, new):
    data = pick(rendered, kind, end)["data"]
    assert old in data[key], old
    data[key] = data[key].replace(old, new)


def rewrite_text(rendered, end, key, old, new):
    texts = pick(rendered, "Secret", end)["stringData"]
    assert old in texts[key], old
    texts[key] = texts[key].replace(old, new)


def policy(rendered, component):
    return pick(rendered, "NetworkPolicy", f"-{component}")["spec"]


def call_database(rendered):
    policy(rendered, "gateway")["egress"].append(copy.deepcopy(policy(rendered, "auth-service")["egress"][-1]))
    policy(rendered, "surrealdb")["ingress"].append({"ports": [{"port": 8000, "protocol": "TCP"}], "from": [{"podSelector": {}}]})


# Rule → mistakes in what values/smallest.yaml gives.
MISTAKES = {
    "every_image_says_which": [
        lambda r: container(r).update(image="registry.example/backchat/gateway"),
        lambda r: container(r).update(image="registry.example/backchat/gateway:latest"),
    ],
    "every_container_asks_for_what_it_needs_and_no_more": [
        lambda r: container(r)["resources"]["limits"].update(cpu="2"),
        lambda r: container(r, "setup")["resources"]["limits"].pop("memory"),
        lambda r: container(r, "nats")["resources"]["requests"].update(memory="2Gi"),
    ],
    "every_pod_is_confined": [
        lambda r: pod(r, "surrealdb")["securityContext"].pop("seccompProfile"),
        lambda r: container(r, "nats")["securityContext"].pop("capabilities"),
        lambda r: container(r, "verify")["securityContext"].update(readOnlyRootFilesystem=False),
        lambda r: pod(r)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    ],
    "hooks_leave_nothing_behind": [
        lambda r: pick(r, "Pod", "-test")["metadata"]["annotations"].update({"helm.sh/hook-delete-policy": "before-hook-creation"}),
    ],
    "the_test_does_what_people_do": [
        lambda r: container(r, "test")["args"].__setitem__(0, "probe"),
        lambda r: container(r, "test")["args"].__setitem__(2, "http://demo-backchat-gateway:8080"),
    ],
    "nobody_has_a_token_of_the_cluster": [
        lambda r: pod(r, "replay").pop("automountServiceAccountToken"),
        lambda r: drop(r, "ServiceAccount", "-nats"),
    ],
    "no_pod_is_told_of_services": [lambda r: pod(r, "setup").pop("enableServiceLinks")],
    "containers_are_called_like_their_programs": [
        lambda r: container(r).update(name="app"),
        lambda r: container(r).update(command=["sh", "-c", "gateway"]),
    ],
    "what_runs_is_asked_whether_it_lives_and_serves": [
        lambda r: container(r)["livenessProbe"].update(timeoutSeconds=1),
        lambda r: container(r, "auth-service").pop("readinessProbe"),
        lambda r: container(r)["readinessProbe"].update(httpGet={"path": "/livez", "port": "operations"}),
    ],
    "a_drain_of_nodes_takes_one_pod_at_a_time": [
        lambda r: drop(r, "PodDisruptionBudget", "-search-worker"),
        lambda r: pick(r, "PodDisruptionBudget", "-gateway")["spec"]["selector"]["matchLabels"].update({"app.kubernetes.io/component": "x"}),
    ],
    "pods_spread_over_zones_and_nodes": [
        lambda r: pod(r)["topologySpreadConstraints"].pop(),
        lambda r: pod(r, "nats")["topologySpreadConstraints"][0].update(whenUnsatisfiable="DoNotSchedule"),
    ],
    "a_roll_out_goes_up_before_it_goes_down": [
        lambda r: deployment(r)["strategy"]["rollingUpdate"].update(maxUnavailable=1),
        lambda r: deployment(r).pop("minReadySeconds"),
    ],
    "a_pod_has_the_time_it_needs_to_stop": [
        lambda r: pod(r).update(terminationGracePeriodSeconds=44),
        lambda r: container(r).pop("lifecycle"),
    ],
    "gateways_share_what_there_is_to_do": [
        lambda r: pick(r, "ConfigMap", "-gateway")["data"].pop("BACKCHAT_GATEWAY_SOCKETS_TARGET"),
        lambda r: pick(r, "ConfigMap", "-gateway")["data"].update(BACKCHAT_GATEWAY_SENT_BYTES_PER_SECOND_TARGET="1"),
    ],
    "replicas_have_one_master": [
        lambda r: deployment(r).pop("replicas"),
        lambda r: r.objects.append(
            {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"},
             "spec": {"minReplicas": 2, "maxReplicas": 1, "scaleTargetRef": {"kind": "Deployment", "name": "demo-backchat-gateway"},
                      "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0, "policies": []}}}}
        ),
    ],
    "selectors_never_change": [
        lambda r: deployment(r)["selector"]["matchLabels"].update({"app.kubernetes.io/version": "1"}),
        lambda r: deployment(r)["template"]["metadata"]["labels"].pop("app.kubernetes.io/component"),
    ],
    "every_port_says_its_protocol": [
        lambda r: container(r)["ports"][0].pop("protocol"),
        lambda r: pick(r, "Service", "-nats")["spec"]["ports"][0].pop("protocol"),
        lambda r: pick(r, "Service", "-gateway")["spec"]["ports"][0].update(appProtocol="http"),
    ],
    "whatever_is_named_is_there": [
        lambda r: drop(r, "ConfigMap", "-gateway"),
        lambda r: drop(r, "Secret", "-nats-users"),
        lambda r: pod(r)["volumes"].pop(),
        lambda r: container(r, "nats")["readinessProbe"]["httpGet"].update(port="nothing"),
        lambda r: pick(r, "Service", "-gateway")["spec"]["selector"].update({"app.kubernetes.io/component": "gatway"}),
    ],
    "secrets_lie_in_secrets_alone": [
        lambda r: pick(r, "ConfigMap", "-gateway")["data"].update(BACKCHAT_GATEWAY_NATS_PASSWORD="x"),
        lambda r: container(r)["env"].append({"name": "BACKCHAT_GATEWAY_NATS_PASSWORD", "value": "x"}),
        lambda r: container(r, "surrealdb")["args"].extend(["--pass", pick(r, "Secret", "-surrealdb-users")["stringData"]["root-password"]]),
    ],
    "users_of_databases_own_nothing": [lambda r: rewrite_text(r, "-surrealdb-users", "users.surql", "ROLES EDITOR", "ROLES OWNER")],
    "the_root_key_goes_to_those_who_open_texts": [
        lambda r: pod(r, "history-worker")["volumes"].append({"name": "roots", "secret": {"secretName": "demo-backchat-root-key"}}),
        lambda r: pick(r, "Secret", "-root-key")["metadata"].pop("annotations"),
        lambda r: pick(r, "Secret", "-root-key").pop("immutable"),
    ],
    "the_keys_of_certificates_stay_with_their_servers": [
        lambda r: next(volume for volume in pod(r)["volumes"] if volume["name"] == "nats-ca")["secret"].pop("items"),
    ],
    "every_program_is_told_what_it_needs": [
        lambda r: container(r).update(env=[one for one in container(r)["env"] if not one["name"].endswith("_NATS_CA")]),
        lambda r: container(r, "verify")["env"][0].update(value="nats://demo-backchat-nats:4222"),
        lambda r: container(r, "history-worker")["env"][-1].update(value="ws://x:$(DATABASE_PASSWORD)@demo-backchat-surrealdb:8000/backchat/history"),
        lambda r: pick(r, "ConfigMap", "-search-worker")["data"].pop("BACKCHAT_SEARCH_WORKER_INDEX"),
        lambda r: pick(r, "ConfigMap", "-gateway")["data"].update(BACKCHAT_GATEWAY_ROOTS="/roots"),
    ],
    "names_are_short_enough": [
        lambda r: r.objects[0]["metadata"].update(name="x" * 64),
        lambda r: r.objects.append(copy.deepcopy(r.objects[0])),
    ],
    "jobs_can_be_run_again": [
        lambda r: pick(r, "CronJob", "-replay")["spec"].update(suspend=False),
        lambda r: pick(r, "Job", "")["metadata"].update(name="demo-backchat-setup"),
    ],
    "nobody_talks_to_anybody_unless_allowed": [
        call_database,
        lambda r: drop(r, "NetworkPolicy", "-nobody"),
        lambda r: policy(r, "nobody").update(policyTypes=["Ingress"]),
        lambda r: drop(r, "NetworkPolicy", "-history-worker"),
        lambda r: policy(r, "nats")["ingress"][0].pop("from"),
        lambda r: policy(r, "search-worker")["egress"].append({"ports": [{"port": 443, "protocol": "TCP"}]}),
    ],
    "each_service_does_its_own_work_at_the_broker": [
        lambda r: rewrite(r, "ConfigMap", "-nats", "nats.conf", '"$JS.API.STREAM.MSG.DELETE.CHAT_7"', '"$JS.API.STREAM.MSG.DELETE.*"'),
        lambda r: rewrite(r, "ConfigMap", "-nats", "nats.conf", '"chat.query.search",', ""),
        lambda r: rewrite(r, "ConfigMap", "-nats", "nats.conf", "allow_responses: true", "allow_responses: false"),
    ],
}
# The same for what production.yaml gives.
MISTAKES_AT_THE_EDGE = {
    "whatever_is_named_is_there": [
        lambda r: pick(r, "Service", "-gateway-metrics")["spec"]["ports"][0].update(targetPort="http"),
        lambda r: drop(r, "Service", "-auth-service-metrics"),
        lambda r: drop(r, "Service", "-gateway"),
    ],
    "the_edge_sends_logins_to_the_auth_service_and_all_else_to_gateways": [
        lambda r: r.of("HTTPRoute")[0]["spec"]["rules"][1].pop("timeouts"),
        lambda r: r.of("HTTPRoute")[0]["spec"]["rules"].pop(0),
    ],
    "replicas_have_one_master": [
        lambda r: deployment(r).update(replicas=3),
        lambda r: pick(r, "ScaledObject", "-history-worker")["spec"].update(maxReplicaCount=9),
    ],
    "autoscalers_read_gauges_of_what_they_scale": [
        lambda r: pick(r, "ScaledObject", "-gateway")["spec"]["triggers"][0]["metadata"].update(valueLocation="backchat_gateway_sockets_open"),
        lambda r: pick(r, "ScaledObject", "-auth-service")["spec"]["triggers"][0]["metadata"].update(valueLocation="backchat_gateway_sockets"),
        lambda r: pick(r, "ScaledObject", "-history-worker")["spec"].update(triggers=[]),
    ],
    "jobs_can_be_run_again": [lambda r: container(r, "backup").update(args=["backup", "s3://backups/chat"])],
}
# The same for what servers-of-yours.yaml gives.
MISTAKES_AT_AN_INGRESS = {
    "the_ingress_lets_sockets_be_quiet": [
        lambda r: r.of("Ingress")[0]["metadata"]["annotations"].pop("haproxy.org/timeout-tunnel"),
        lambda r: r.of("Ingress")[0]["metadata"]["annotations"].pop("example.org/team"),
    ],
}


def unnoticed(rules, rendered, mistakes):
    """Mistakes that their rules did not find."""
    by_name = {rule.__name__: rule for rule in rules}
    for name, changes in mistakes.items():
        for number, change in enumerate(changes, 1):
            copied = Rendered(rendered.name, copy.deepcopy(rendered.objects), rendered.values, rendered.release)
            change(copied)
            if not list(by_name[name](copied)):
                yield f"{name}: mistake {number} is not noticed"
