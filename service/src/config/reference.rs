//! What the configuration says of itself: `--help`, `config print`, `config example`.

use std::fmt::Write;

use super::secret::{SECRET, without_passwords};

/// All that a program asks for.
#[derive(Default)]
pub(super) struct Reference {
    pub settings: Vec<Setting>,
    /// The words of each command and its meaning.
    pub commands: Vec<(String, &'static str)>,
}

/// One setting: its names, its meaning, and what it was given.
pub(super) struct Setting {
    pub service: &'static str,
    pub name: &'static str,
    pub flag: String,
    pub variable: String,
    pub default: String,
    pub doc: &'static str,
    pub bounds: Option<String>,
    pub is_secret: bool,
    pub is_list: bool,
    pub origin: Option<String>,
    pub text: Option<String>,
}

impl Setting {
    pub fn new(name: &'static str, default: &str, doc: &'static str) -> Self {
        Self {
            service: "",
            name,
            flag: String::new(),
            variable: String::new(),
            default: default.to_owned(),
            doc,
            bounds: None,
            is_secret: false,
            is_list: false,
            origin: None,
            text: None,
        }
    }

    pub fn with_bounds(mut self, bounds: &str) -> Self {
        self.bounds = Some(bounds.to_owned());
        self
    }

    pub fn with_list(mut self) -> Self {
        self.is_list = true;
        self
    }

    pub fn with_secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    fn meaning(&self) -> String {
        let mut meaning = self.doc.trim_end_matches('.').to_owned();
        if let Some(bounds) = &self.bounds {
            let _ = write!(meaning, ", {bounds}");
        }
        meaning.push('.');
        meaning
    }
}

/// The text of `--help`.
pub(super) fn help(program: &str, reference: &Reference) -> String {
    let mut text = format!(
        "Usage: {program} [--config FILE] [--NAME VALUE]...\n       {program} config check | print | example\n\n\
         Each setting is a flag, else a variable, else a key of the TOML file, else its default.\n\
         BACKCHAT_LOG sets what is logged (default \"info\").\n"
    );
    for (words, doc) in &reference.commands {
        let _ = write!(text, "\n  {program} {words}\n      {}.\n", doc.trim_end_matches('.'));
    }
    for setting in &reference.settings {
        let default = if setting.default.is_empty() { "none" } else { &setting.default };
        let _ =
            write!(text, "\n  {} VALUE    [default: {default}]\n      {}\n", setting.flag, setting.meaning());
        let _ = writeln!(text, "      {}", setting.variable);
    }
    text
}

/// The settings in force, as a file, each with where it came from.
pub(super) fn print(service: &str, reference: &Reference) -> String {
    document(service, &reference.settings, |setting| {
        let from = setting.origin.as_deref().unwrap_or("default");
        let value = setting.text.as_ref().unwrap_or(&setting.default);
        let value = match (setting.is_secret, value.is_empty()) {
            (true, false) => literal(setting, SECRET),
            _ => literal(setting, &without_passwords(value)),
        };
        format!("{} = {value}  # {from}\n", setting.name)
    })
}

/// A file that sets nothing: every setting with its meaning and its default, commented out.
pub(super) fn example(service: &str, reference: &Reference) -> String {
    document(service, &reference.settings, |setting| {
        let value = literal(setting, &setting.default);
        format!("# {}\n# {}\n# {} = {value}\n\n", setting.meaning(), setting.variable, setting.name)
    })
}

fn document(service: &str, settings: &[Setting], line: impl Fn(&Setting) -> String) -> String {
    let mut text = String::new();
    let mut table = service;
    for setting in settings {
        if setting.service != table {
            table = setting.service;
            let _ = write!(text, "\n[{table}]\n");
        }
        text.push_str(&line(setting));
    }
    text
}

fn literal(setting: &Setting, value: &str) -> String {
    let is_bare = value == "true" || value == "false" || value.parse::<i64>().is_ok();
    if setting.is_list {
        let items = super::items(value).map(|item| toml::Value::from(item).to_string());
        format!("[{}]", items.collect::<Vec<_>>().join(", "))
    } else if is_bare {
        value.to_owned()
    } else {
        toml::Value::from(value).to_string()
    }
}
