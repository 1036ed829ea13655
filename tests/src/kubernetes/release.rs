//! The release: what is asked of Helm and of the API server about it.

use data_encoding::BASE64;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// Release and namespace.
const NAME: &str = "chat";
/// How the chart begins the names of the release's objects.
const PREFIX: &str = "chat-backchat";
/// Longest wait for a command that waits until the release is ready, for Helm and for us.
const HELM_WAITS: &str = "12m";
const PATIENCE: Duration = Duration::from_secs(13 * 60);
/// Longest wait until the pods of a release that is gone are gone too.
const LEAVING: Duration = Duration::from_secs(120);
/// How often it is looked whether everything is ready.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Groups that a chart for today's clusters asks for.
const FOREIGN: [&str; 3] = ["keda.sh/v1alpha1", "monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1"];

/// What stands before the commands of a page: the programs as this cluster wants them.
const OPERATOR: &str = "KUBECTL=$1 HELM=$2\n\
    kubectl() { \"$KUBECTL\" --namespace chat \"$@\"; }\n\
    helm() { \"$HELM\" \"$@\" --post-renderer downgrade; }\n";

/// The programs that talk to the API server.
pub struct Clients {
    pub kubectl: PathBuf,
    pub helm: PathBuf,
}

pub struct Release {
    clients: Clients,
    chart: PathBuf,
    values: PathBuf,
    folder: PathBuf,
}

impl Release {
    pub const fn new(clients: Clients, chart: PathBuf, values: PathBuf, folder: PathBuf) -> Self {
        Self { clients, chart, values, folder }
    }

    /// Asks the API server whether it would take every object of these values; gives how many there are.
    pub async fn dry_run(&self, values: &Path) -> usize {
        let (chart, values) = (self.chart.to_string_lossy(), values.to_string_lossy());
        let mut words = vec!["template", NAME, &chart, "--values", &values, "--post-renderer", "downgrade"];
        FOREIGN.iter().for_each(|group| words.extend(["--api-versions", group]));
        let objects = self.helm(&words).await;
        let file = self.folder.join("dry-run.yaml");
        fs::write(&file, objects).expect("a file can be written");
        // A pod is taken only where its account is, which nobody makes for a question.
        let account = format!("{PREFIX}-test");
        self.kubectl(&["create", "serviceaccount", &account]).await;
        let taken = self
            .kubectl(&["apply", "--server-side", "--dry-run=server", "--filename", &file.to_string_lossy()])
            .await;
        self.kubectl(&["delete", "serviceaccount", &account]).await;
        taken.lines().count()
    }

    /// Installs it and waits until it is ready; gives the seconds that took.
    pub async fn install(&self) -> u64 {
        self.apply("install", &[]).await
    }

    /// Upgrades it to these values besides, and waits until it is ready; gives the seconds that took.
    pub async fn upgrade(&self, settings: &[&str]) -> u64 {
        self.apply("upgrade", settings).await
    }

    async fn apply(&self, verb: &str, settings: &[&str]) -> u64 {
        let (chart, values) = (self.chart.to_string_lossy(), self.values.to_string_lossy());
        let mut words = vec![verb, NAME, &chart, "--values", &values, "--post-renderer", "downgrade"];
        settings.iter().for_each(|setting| words.extend(["--set", setting]));
        words.extend(["--wait", "--timeout", HELM_WAITS]);
        let began = Instant::now();
        self.helm(&words).await;
        self.whole().await;
        began.elapsed().as_secs()
    }

    /// Goes back to the first revision, and waits until it is ready; gives the seconds that took.
    pub async fn roll_back(&self) -> u64 {
        let began = Instant::now();
        self.helm(&["rollback", NAME, "1", "--wait", "--timeout", HELM_WAITS]).await;
        self.whole().await;
        began.elapsed().as_secs()
    }

    /// Runs the chart's own test; gives its verdict.
    ///
    /// # Panics
    /// When it fails, or gives none.
    pub async fn test(&self) -> String {
        let said = self.helm(&["test", NAME, "--logs"]).await;
        let verdict = said.lines().rfind(|line| line.contains(" works: "));
        verdict.unwrap_or_else(|| panic!("a test without a verdict: {said}")).to_owned()
    }

    /// Takes it away, waits until every pod is gone, and gives what is left.
    pub async fn uninstall(&self) -> Vec<String> {
        self.helm(&["uninstall", NAME, "--wait", "--timeout", HELM_WAITS]).await;
        let deadline = Instant::now() + LEAVING;
        while !self.list("pods").await.is_empty() && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
        let kinds = self.kubectl(&["api-resources", "--namespaced", "--verbs=list", "--output=name"]).await;
        let kinds: Vec<_> =
            kinds.lines().filter(|kind| !kind.starts_with("events") && !kind.contains("metrics")).collect();
        let left = self.kubectl(&["get", &kinds.join(","), "--output", "name"]).await;
        left.lines().filter(|name| !is_of_every_namespace(name)).map(str::to_owned).collect()
    }

    /// What the Helm plug-in had to change so far, each thing once.
    pub fn downgrades() -> BTreeSet<String> {
        let file = std::env::var("DOWNGRADES").expect("DOWNGRADES names the file that the plug-in writes");
        fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Waits until every deployment and stateful set has all its pods, of its newest kind and ready, and no other.
    ///
    /// # Panics
    /// When it has not in time.
    pub async fn whole(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let missing = self.missing().await;
            if missing.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "after {PATIENCE:?} not ready: {}", missing.join(", "));
            sleep(LOOK_EVERY).await;
        }
    }

    async fn missing(&self) -> Vec<String> {
        let found = self.list("deployments,statefulsets").await;
        let missing = found.iter().filter(|owner| {
            let (spec, status) = (&owner["spec"], &owner["status"]);
            let wanted = spec["replicas"].as_u64().unwrap_or(1);
            let is = |field: &str| status[field].as_u64().unwrap_or(0) == wanted;
            let is_seen = status["observedGeneration"] == owner["metadata"]["generation"];
            // A stateful set says so only of pods that an update has made.
            let is_updated = status["updateRevision"] == status["currentRevision"] || is("updatedReplicas");
            !(is_seen && is("replicas") && is("readyReplicas") && is_updated)
        });
        missing.filter_map(|owner| owner["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }

    /// How many pods of a component are ready.
    pub async fn ready(&self, component: &str) -> u64 {
        let name = format!("{PREFIX}-{component}");
        let found = self.list("deployments").await;
        let owner = found.iter().find(|owner| owner["metadata"]["name"] == *name);
        owner.and_then(|owner| owner["status"]["readyReplicas"].as_u64()).unwrap_or(0)
    }

    /// The pods of a component that are not about to leave, by name.
    pub async fn pods(&self, component: &str) -> Vec<String> {
        self.of_pods(component, |pod| pod["metadata"]["name"].as_str()).await
    }

    pub async fn pod_addresses(&self, component: &str) -> Vec<String> {
        self.of_pods(component, |pod| pod["status"]["podIP"].as_str()).await
    }

    async fn of_pods(&self, component: &str, part: impl Fn(&Value) -> Option<&str>) -> Vec<String> {
        let pods = self.list(&format!("pods --selector app.kubernetes.io/component={component}")).await;
        let staying = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        staying.filter_map(|pod| part(pod).map(str::to_owned)).collect()
    }

    /// How often containers of pods that are there were started again.
    pub async fn restarts(&self) -> usize {
        let pods = self.list("pods").await;
        let containers =
            pods.iter().filter_map(|pod| pod["status"]["containerStatuses"].as_array()).flatten();
        let restarts: u64 = containers.filter_map(|container| container["restartCount"].as_u64()).sum();
        usize::try_from(restarts).unwrap_or(usize::MAX)
    }

    /// A pod ends at once, as when its process is killed, and is gone when this returns.
    pub async fn kill(&self, pod: &str) {
        self.kubectl(&["delete", "pod", pod, "--grace-period=0", "--force"]).await;
    }

    /// Every pod of a stateful set is replaced, one after the other.
    pub async fn restart(&self, component: &str) {
        let name = format!("statefulset/{PREFIX}-{component}");
        self.kubectl(&["rollout", "restart", &name]).await;
        self.kubectl(&["rollout", "status", &name, "--timeout", HELM_WAITS]).await;
    }

    /// Executes commands of a page, which are for a release and a namespace of these names, and waits until all is ready.
    pub async fn does(&self, commands: &str) {
        let place = self.folder.join("operator");
        if !place.exists() {
            fs::create_dir_all(place.join("deploy")).expect("a folder can be made");
            for (file, link) in [(&self.chart, "deploy/chart"), (&self.values, "my-values.yaml")] {
                let file = fs::canonicalize(file).expect("it is there");
                symlink(file, place.join(link)).expect("a link can be made");
            }
        }
        let script = format!("{OPERATOR}{commands}");
        let (kubectl, helm) = (self.clients.kubectl.to_string_lossy(), self.clients.helm.to_string_lossy());
        let words = ["-euo", "pipefail", "-c", &script, "operator", &kubectl, &helm];
        let mut shell = Command::new("bash");
        finished(shell.current_dir(&place).args(words), commands).await;
        self.whole().await;
    }

    /// Every pod leaves a node, as far as the release's budgets allow; then the node takes pods again.
    pub async fn drain(&self, node: &str) {
        let words = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout", HELM_WAITS];
        self.kubectl(&words).await;
        self.whole().await;
        self.kubectl(&["uncordon", node]).await;
    }

    /// Runs one of the chart's jobs now; gives what it says last. `kubectl create job --from` does the same where it knows the API's
    /// version of scheduled jobs.
    pub async fn job(&self, what: &str) -> String {
        let schedules = self.list("cronjobs").await;
        let name = format!("{PREFIX}-{what}");
        let schedule = schedules.iter().find(|schedule| schedule["metadata"]["name"] == *name);
        let schedule = schedule.unwrap_or_else(|| panic!("there is no job {name}"));
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": what },
            "spec": schedule["spec"]["jobTemplate"]["spec"],
        });
        let file = self.folder.join(format!("{what}.json"));
        fs::write(&file, job.to_string()).expect("a file can be written");
        self.kubectl(&["create", "--filename", &file.display().to_string()]).await;
        let job = format!("job/{what}");
        let waits = ["wait", "--for=condition=complete", &job, "--timeout=5m"];
        let ended = timeout(PATIENCE, self.kubectl(&waits)).await;
        let said = self.kubectl(&["logs", &job]).await;
        assert!(ended.is_ok(), "the job did not end: {said}");
        self.kubectl(&["delete", &job]).await;
        said.lines().last().unwrap_or_default().to_owned()
    }

    /// A value of one of the release's secrets.
    pub async fn secret(&self, name: &str, key: &str) -> Vec<u8> {
        let secrets = self.list("secrets").await;
        let name = format!("{PREFIX}-{name}");
        let secret = secrets.iter().find(|secret| secret["metadata"]["name"] == *name);
        let value = secret.and_then(|secret| secret["data"][key].as_str());
        let value = value.unwrap_or_else(|| panic!("there is no {key} in {name}"));
        BASE64.decode(value.as_bytes()).expect("secrets are base64")
    }

    /// The address of a component's service inside the cluster.
    pub async fn service_address(&self, component: &str) -> String {
        let name = format!("service/{PREFIX}-{component}");
        self.kubectl(&["get", &name, "--output", "jsonpath={.spec.clusterIP}"]).await
    }

    pub fn broker_url(&self) -> String {
        format!("tls://{PREFIX}-nats.{NAME}.svc:4222")
    }

    /// Objects of these kinds; words after them are handed on.
    async fn list(&self, kinds: &str) -> Vec<Value> {
        let mut words = vec!["get"];
        words.extend(kinds.split(' '));
        words.extend(["--output", "json"]);
        let text = self.kubectl(&words).await;
        let mut found: Value = serde_json::from_str(&text).expect("the API server answers with JSON");
        match found["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }

    async fn kubectl(&self, words: &[&str]) -> String {
        call(&self.clients.kubectl, words).await
    }

    async fn helm(&self, words: &[&str]) -> String {
        call(&self.clients.helm, words).await
    }
}

/// Whether it is one of those that are kept when a release goes: without them nothing that was said could be read.
pub fn stays_by_design(name: &str) -> bool {
    let kept = [format!("persistentvolumeclaim/data-{PREFIX}-"), format!("secret/{PREFIX}-root-key")];
    kept.iter().any(|start| name.starts_with(start))
}

/// Whether Kubernetes itself has put it there.
fn is_of_every_namespace(name: &str) -> bool {
    let (kind, name) = name.split_once('/').unwrap_or((name, ""));
    matches!((kind, name), ("serviceaccount", "default") | ("configmap", "kube-root-ca.crt"))
        || kind == "secret" && name.starts_with("default-token-")
}

/// Runs it to its end; gives what it says.
///
/// # Panics
/// When it fails.
async fn call(program: &Path, words: &[&str]) -> String {
    let mut called = Command::new(program);
    called.args(["--namespace", NAME]).args(words);
    finished(&mut called, &format!("{} {}", program.display(), words.join(" "))).await
}

/// Gives what it printed.
async fn finished(command: &mut Command, name: &str) -> String {
    let called = timeout(PATIENCE, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let output = called.unwrap_or_else(|_| panic!("{name} takes longer than {PATIENCE:?}"));
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{name}: {complained}\n{said}");
    said
}
