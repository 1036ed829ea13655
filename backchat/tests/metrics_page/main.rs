//! `docs/operations/metrics.md`, the reference of what the services count, is made here: of what each registers, and of the alerts
//! that read it. `make metrics-page` writes it anew; else it must be what the code says.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod todo;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use service::metrics::{Description, Kind, Label};

const PAGE: &str = "docs/operations/metrics.md";
/// Set to write the page before it is compared.
const WRITE: &str = "WRITE_METRICS_PAGE";

const BEGIN: &str = "\
# Metrics

What each service counts, as `/metrics` of its operations address has it. `make metrics-page` writes this page from what the services register, and a test fails when it is not what they say.

- **Name**: as it stands in `/metrics`; a histogram has `_bucket`, `_sum` and `_count` behind it there.
- **Unit**: where there is none, it is a plain number.
- **Labels**: with all values that there are, which begin with 0. `shard` is a shard's number.
- **What to do**: the alerts that read it or whose entry of the [runbook](alerts.md) looks at it; where there are none, what its figure asks for.
";

const HEAD: &str = "| Name | Type | Unit | Labels | Meaning | What to do |\n|---|---|---|---|---|---|\n";

struct Service {
    title: &'static str,
    metrics: Vec<Description>,
}

fn services() -> [Service; 4] {
    [
        Service { title: "Gateway", metrics: gateway::metrics() },
        Service { title: "History worker", metrics: history_worker::metrics() },
        Service { title: "Search worker", metrics: search_worker::metrics() },
        Service { title: "Auth service", metrics: auth_service::metrics() },
    ]
}

/// An alert, and what it has to do with metrics.
struct Alert {
    name: String,
    /// How the names of its service's metrics begin.
    prefix: String,
    /// The words of its expression.
    words: BTreeSet<String>,
    /// Parts of names for which its entry of the runbook looks in `/metrics`.
    looked_for: Vec<String>,
}

impl Alert {
    fn concerns(&self, metric: &Description) -> bool {
        let looks_at = |name: &String| {
            name.starts_with(&self.prefix) && self.looked_for.iter().any(|part| name.contains(part))
        };
        metric.series().iter().any(|name| self.words.contains(name) || looks_at(name))
    }
}

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The alerts of all services. Their files have a key a line, and texts of several lines indented below theirs.
fn alerts() -> Vec<Alert> {
    let mut files: Vec<_> =
        fs::read_dir(file("deploy/chart/alerts")).unwrap().map(|found| found.unwrap().path()).collect();
    files.sort();
    let mut alerts: Vec<Alert> = Vec::new();
    for path in files {
        let service = path.file_stem().unwrap().to_string_lossy().replace('-', "_");
        let mut in_expr = false;
        for line in fs::read_to_string(&path).unwrap().lines() {
            if let Some(name) = line.trim_start().strip_prefix("- alert: ") {
                let (name, prefix) = (name.to_owned(), format!("backchat_{service}_"));
                alerts.push(Alert { looked_for: looked_for(&name), name, prefix, words: BTreeSet::new() });
            }
            let is_deeper = line.starts_with("          ");
            in_expr = line.starts_with("        expr:") || (in_expr && is_deeper);
            if let Some(alert) = alerts.last_mut().filter(|_| in_expr) {
                let words = line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                alert.words.extend(words.map(str::to_owned));
            }
        }
    }
    alerts
}

/// The parts of names for which an alert's entry of the runbook looks in `/metrics`.
fn looked_for(alert: &str) -> Vec<String> {
    let runbook = fs::read_to_string(file("docs/operations/alerts.md")).unwrap();
    let entry = runbook.split("\n### ").find(|entry| entry.lines().next() == Some(alert)).unwrap_or_default();
    let patterns =
        entry.split('`').filter_map(|code| code.split_once("/metrics | grep ")).map(|(_, pattern)| pattern);
    let parts = patterns
        .flat_map(|pattern| pattern.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_'));
    // Shorter ones are `-E`, `sum` and the like.
    parts.filter(|part| part.len() > 5).map(str::to_owned).collect()
}

fn page() -> String {
    let alerts = alerts();
    let mut page = BEGIN.to_owned();
    for Service { title, metrics } in services() {
        let rows: String = metrics.iter().map(|metric| row(metric, &alerts)).collect();
        page.push_str(&format!("\n## {title}\n\n{HEAD}{rows}"));
    }
    page
}

fn row(metric: &Description, alerts: &[Alert]) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let unit = metric.unit().unwrap_or_default();
    let labels = metric.label.as_ref().map(label).unwrap_or_default();
    let concerned = alerts.iter().filter(|alert| alert.concerns(metric));
    let alerts: Vec<_> = concerned.map(|alert| link(&alert.name)).collect();
    let (name, help) = (&metric.name, &metric.help);
    let todo = match &alerts[..] {
        [] => todo::todo(name).map(|todo| format!("{todo}.")).unwrap_or_default(),
        alerts => alerts.join(", "),
    };
    format!("| `{name}` | {kind} | {unit} | {labels} | {help}. | {todo} |\n")
}

fn label(label: &Label) -> String {
    let values: Vec<_> = label.values.iter().map(|value| format!("`{value}`")).collect();
    match &values[..] {
        [] => format!("`{}`", label.name),
        _ => format!("`{}`: {}", label.name, values.join(", ")),
    }
}

fn link(alert: &str) -> String {
    format!("[{alert}](alerts.md#{})", alert.to_lowercase())
}

#[test]
fn the_page_is_what_the_services_count() {
    let (path, page) = (file(PAGE), page());
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let news: Vec<_> = page.lines().filter(|line| !committed.lines().any(|there| there == *line)).collect();
    assert!(
        committed == page,
        "{PAGE} is not what the code says. `make metrics-page` writes:\n{}",
        news.join("\n")
    );
}

#[test]
fn every_metric_has_a_name_of_its_own_and_a_meaning() {
    for Service { title, metrics } in services() {
        let names: BTreeSet<_> = metrics.iter().map(|metric| &metric.name).collect();
        assert_eq!(names.len(), metrics.len(), "{title}: {names:?}");
        for Description { name, help, .. } in &metrics {
            assert!(help.len() > 10 && !help.ends_with('.'), "{name}: {help}");
            assert!(!help.contains('|'), "{name}: a cell of the table ends there");
        }
    }
}

#[test]
fn a_name_that_speaks_of_a_unit_has_one() {
    let units = ["ms", "second", "seconds", "minutes", "hours", "days", "byte", "bytes", "kib", "mib", "mb"];
    for metric in services().iter().flat_map(|service| &service.metrics) {
        let speaks = metric.name.split('_').any(|word| units.contains(&word));
        assert!(!speaks || metric.unit().is_some(), "{} has no unit", metric.name);
    }
}

#[test]
fn every_metric_says_what_to_do() {
    let (alerts, services) = (alerts(), services());
    let all: Vec<_> = services.iter().flat_map(|service| &service.metrics).collect();
    let is_read = |metric: &Description| alerts.iter().any(|alert| alert.concerns(metric));
    let silent: Vec<_> = all
        .iter()
        .filter(|metric| !is_read(metric) && todo::todo(&metric.name).is_none())
        .map(|metric| &metric.name)
        .collect();
    assert!(silent.is_empty(), "neither an alert nor metrics_page/todo.rs says what to do: {silent:?}");
    let is_needed =
        |name: &str| all.iter().any(|metric| !is_read(metric) && metric.name.ends_with(&format!("_{name}")));
    let idle: Vec<_> = todo::named().filter(|name| !is_needed(name)).collect();
    assert!(idle.is_empty(), "these are no metrics, or alerts read them: {idle:?}");
}
