//! The three places a value can come from, and the names it has in each.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::fault;

/// Every service has its own prefix in the environment. The single-node edition's own settings have none beside
/// `BACKCHAT_`, so it is last.
const SERVICES: [&str; 6] =
    ["gateway", "history-worker", "search-worker", "auth-service", "backchat", "setup"];

/// Variables that begin like ours and belong to all processes, or to the tests.
const SHARED: [&str; 2] = ["BACKCHAT_LOG", "BACKCHAT_TEST_"];

/// A value as somebody wrote it.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// The flag, variable or key, as it is named there.
    pub origin: String,
    pub text: String,
    /// Nobody wrote it: it is the default of a service that runs inside another.
    pub is_default: bool,
}

impl Given {
    fn new(origin: &str, text: String) -> Self {
        Self { origin: origin.to_owned(), text, is_default: false }
    }
}

/// What is not asked for stays in the maps, and is unknown in the end.
pub(super) struct Layers {
    service: &'static str,
    flag_prefix: String,
    flags: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    file: toml::Table,
    defaults: BTreeMap<&'static str, String>,
    known: Known,
}

#[derive(Default)]
struct Known {
    flags: Vec<String>,
    variables: Vec<String>,
    keys: Vec<String>,
}

impl Layers {
    pub fn new(
        service: &'static str,
        flags: BTreeMap<String, String>,
        environment: impl Iterator<Item = (String, String)>,
        file: toml::Table,
    ) -> Self {
        let environment = environment.filter(|(name, _)| is_ours(name)).collect();
        let known = Known {
            flags: vec!["--config".to_owned(), "--help".to_owned(), "--version".to_owned()],
            variables: vec!["BACKCHAT_LOG".to_owned(), variable(service, "config")],
            keys: Vec::new(),
        };
        Self {
            service,
            flag_prefix: "--".to_owned(),
            flags,
            environment,
            file,
            defaults: BTreeMap::new(),
            known,
        }
    }

    pub fn service(&self) -> &'static str {
        self.service
    }

    pub fn variable(&self, name: &str) -> String {
        variable(self.service, name)
    }

    pub fn flag(&self, name: &str) -> String {
        format!("{}{}", self.flag_prefix, name.replace('_', "-"))
    }

    /// The value of the highest layer that has one. The lower ones are taken too, since their names are known.
    pub fn take(&mut self, name: &'static str) -> Result<Option<Given>, String> {
        let (flag, variable) = (self.flag(name), self.variable(name));
        let from_flag = self.flags.remove(&flag).map(|text| Given::new(&flag, text));
        let from_variable = self.environment.remove(&variable).map(|text| Given::new(&variable, text));
        let from_file = self.file.remove(name);
        let otherwise =
            self.defaults.remove(name).map(|text| Given { origin: variable.clone(), text, is_default: true });
        self.known.flags.push(flag);
        self.known.variables.push(variable);
        self.known.keys.push(name.to_owned());
        match (from_flag.or(from_variable), from_file) {
            (Some(given), _) => Ok(Some(given)),
            (None, Some(value)) => from_toml(name, &value).map(Some),
            (None, None) => Ok(otherwise),
        }
    }

    /// The layers of a service inside this process.
    pub fn split(&mut self, service: &'static str, defaults: &[(&'static str, &str)]) -> Layers {
        let flag_prefix = format!("{}{service}-", self.flag_prefix);
        let flags = split_off(&mut self.flags, &flag_prefix);
        let environment = split_off(&mut self.environment, &variable(service, ""));
        let file = match self.file.remove(service) {
            Some(toml::Value::Table(table)) => table,
            Some(other) => toml::Table::from_iter([(service.to_owned(), other)]),
            None => toml::Table::new(),
        };
        let defaults = defaults.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        Layers { service, flag_prefix, flags, environment, file, defaults, known: Known::default() }
    }

    /// Takes back what a service inside this process did not ask for.
    pub fn absorb(&mut self, inner: Layers) {
        self.flags.extend(inner.flags);
        self.environment.extend(inner.environment);
        if !inner.file.is_empty() {
            self.file.insert(inner.service.to_owned(), toml::Value::Table(inner.file));
        }
        self.known.flags.extend(inner.known.flags);
        self.known.variables.extend(inner.known.variables);
        self.known.keys.extend(inner.known.keys);
    }

    /// One line for each thing that was given and that nobody asked for.
    pub fn unknown(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for flag in self.flags.keys() {
            faults.push(fault::unknown("flag", flag, self.known.flags.iter()));
        }
        for (name, value) in &self.environment {
            if self.is_another_services(name) || self.is_of_a_link(name, value) {
                continue;
            }
            if *name != variable(self.service, "config") {
                faults.push(fault::unknown("variable", name, self.known.variables.iter()));
            }
        }
        for (key, value) in &self.file {
            let names = match value {
                toml::Value::Table(table) if SERVICES.contains(&key.as_str()) => table.keys().collect(),
                _ => vec![key],
            };
            faults.extend(names.into_iter().map(|name| fault::unknown("key", name, self.known.keys.iter())));
        }
        faults
    }

    /// Kubernetes puts the addresses of a Service called `backchat-gateway` into variables that begin like our settings. They come
    /// together with its host, so that a misspelt setting is not taken for one.
    fn is_of_a_link(&self, name: &str, value: &str) -> bool {
        let services = self.environment.iter().filter(|(_, value)| value.parse::<IpAddr>().is_ok());
        let mut services = services.filter_map(|(name, _)| name.strip_suffix("SERVICE_HOST"));
        services.any(|service| name.strip_prefix(service).is_some_and(|behind| is_link(behind, value)))
    }

    /// The single-node edition runs every service, so that no variable is another's.
    fn is_another_services(&self, name: &str) -> bool {
        self.service != "backchat"
            && SERVICES
                .iter()
                .filter(|other| **other != self.service && **other != "backchat")
                .any(|other| name.starts_with(&variable(other, "")))
    }
}

pub(super) fn variable(service: &str, name: &str) -> String {
    let service = if service == "backchat" { String::new() } else { format!("{service}_") };
    format!("BACKCHAT_{service}{name}").replace('-', "_").to_ascii_uppercase()
}

fn is_ours(name: &str) -> bool {
    name.starts_with("BACKCHAT_") && !SHARED.iter().any(|shared| name.starts_with(shared))
}

/// Whether Kubernetes puts a variable with this behind a Service's name and `_`, and such a value: `SERVICE_PORT_HTTP`, or `PORT_80_TCP`.
fn is_link(behind: &str, value: &str) -> bool {
    match behind.split('_').collect::<Vec<_>>().as_slice() {
        ["PORT"] => value.contains("://"),
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
        ["PORT", number, "TCP" | "UDP" | "SCTP"]
        | ["PORT", number, "TCP" | "UDP" | "SCTP", "PROTO" | "PORT" | "ADDR"] => {
            number.parse::<u16>().is_ok()
        }
        _ => false,
    }
}

fn split_off(map: &mut BTreeMap<String, String>, prefix: &str) -> BTreeMap<String, String> {
    let (inner, outer) = std::mem::take(map).into_iter().partition(|(name, _)| name.starts_with(prefix));
    *map = outer;
    inner
}

fn from_toml(name: &str, value: &toml::Value) -> Result<Given, String> {
    let origin = format!("key {name}");
    let text = match value {
        toml::Value::Array(items) => {
            items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        single => scalar(single),
    };
    match text {
        Some(text) => Ok(Given::new(&origin, text)),
        None => Err(format!("{origin}: a text, a number, true, false, or a list of these is expected")),
    }
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}
