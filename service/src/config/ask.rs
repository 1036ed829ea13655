//! From a command line to settings, or to the text that was asked for instead.

use std::collections::BTreeMap;

use super::layers::{Layers, variable};
use super::reference::{self, Reference};
use super::{ConfigFaults, Settings, Source};

/// A file larger than this is not a configuration of ours.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a command line asks of a program.
#[derive(Debug)]
pub enum Ask<S> {
    /// Run with these settings.
    Run(S),
    /// Print this text and end with exit code 0.
    Say(String),
}

/// The settings of this process, from its arguments and environment.
///
/// # Errors
/// Every fault of the configuration at once.
pub fn load<S: Settings>() -> Result<S, ConfigFaults> {
    let arguments = arguments()?;
    match ask(&arguments, environment())? {
        Ask::Run(settings) => Ok(settings),
        Ask::Say(_) => Err(one(format!("{}: nothing to run was asked for", S::PROGRAM))),
    }
}

/// Settings from the given arguments (without the program's name), environment and text of a TOML file.
///
/// # Errors
/// Every fault of the configuration at once.
pub fn load_from<S: Settings>(
    arguments: &[String],
    environment: impl Iterator<Item = (String, String)>,
    file: Option<&str>,
) -> Result<S, ConfigFaults> {
    let line = Line::parse(arguments);
    let (settings, _, faults) = read::<S>(line, environment, file.map(|text| ("file", text)));
    if faults.is_empty() { Ok(settings) } else { Err(ConfigFaults::new(faults)) }
}

/// Like [`load_from`], but reads the file that `--config` or the environment names, and understands `--help`, `--version`
/// and `config check | print | example`. Commands of the program itself are the settings' own ([`Source::command`]).
///
/// # Errors
/// Every fault of the configuration at once, a file that can't be read among them, unless the settings take them
/// ([`Settings::take_faults`]).
pub fn ask<S: Settings>(
    arguments: &[String],
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Ask<S>, ConfigFaults> {
    let line = Line::parse(arguments);
    let verb = line.verb;
    if verb == Verb::Version {
        return Ok(Ask::Say(format!("{} {}\n", S::PROGRAM, env!("CARGO_PKG_VERSION"))));
    }
    if matches!(verb, Verb::Help | Verb::Example) {
        let (_, known, _) = read::<S>(Line::default(), std::iter::empty(), None);
        let text = match verb {
            Verb::Help => reference::help(S::PROGRAM, &known),
            _ => reference::example(S::SERVICE, &known),
        };
        return Ok(Ask::Say(text));
    }
    let environment: Vec<_> = environment.collect();
    let path = line.config.clone().or_else(|| value_of(&environment, &variable(S::SERVICE, "config")));
    let text = path.as_deref().map(read_file).transpose();
    let (text, file_fault) = text.map_or_else(|fault| (None, Some(fault)), |text| (text, None));
    let file = path.as_deref().zip(text.as_deref());
    let (mut settings, known, mut faults) = read::<S>(line, environment.into_iter(), file);
    faults.extend(file_fault);
    if !faults.is_empty() {
        let faults = ConfigFaults::new(faults);
        if verb != Verb::Run {
            return Err(faults);
        }
        settings.take_faults(faults)?;
    }
    Ok(match verb {
        Verb::Check => Ask::Say("the configuration is valid\n".to_owned()),
        Verb::Print => Ask::Say(reference::print(S::SERVICE, &known)),
        _ => Ask::Run(settings),
    })
}

/// This process's arguments, without its name.
///
/// # Errors
/// An argument that is not Unicode.
pub(crate) fn arguments() -> Result<Vec<String>, ConfigFaults> {
    let arguments = std::env::args_os().skip(1).map(std::ffi::OsString::into_string);
    arguments
        .collect::<Result<_, _>>()
        .map_err(|argument| one(format!("argument {argument:?} is not valid Unicode")))
}

/// This process's environment. A variable of ours that is not Unicode keeps its name and has its odd characters replaced, so that
/// it is refused by name rather than overlooked.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

fn one(fault: String) -> ConfigFaults {
    ConfigFaults::new(vec![fault])
}

fn value_of(environment: &[(String, String)], name: &str) -> Option<String> {
    environment
        .iter()
        .find(|(known, value)| known == name && !value.is_empty())
        .map(|(_, value)| value.clone())
}

fn read_file(path: &str) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("configuration file {path}: {error}"))?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("configuration file {path} is larger than {FILE_BYTES_MAX} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("configuration file {path}: {error}"))
}

fn read<S: Settings>(
    line: Line,
    environment: impl Iterator<Item = (String, String)>,
    file: Option<(&str, &str)>,
) -> (S, Reference, Vec<String>) {
    let mut faults = line.faults;
    let table = match file.map(|(path, text)| parse_file(path, text)).transpose() {
        Ok(table) => table.unwrap_or_default(),
        Err(fault) => {
            faults.push(fault);
            toml::Table::new()
        }
    };
    let mut source = Source::new(Layers::new(S::SERVICE, line.flags, environment, table));
    source.words = line.words.join(" ");
    let settings = S::read(&mut source);
    let (known, found) = source.finish();
    faults.extend(found);
    (settings, known, faults)
}

fn parse_file(path: &str, text: &str) -> Result<toml::Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let line =
            error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        format!("configuration file {path}, line {line}: {}", error.message().replace('\n', " "))
    })
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Verb {
    #[default]
    Run,
    Help,
    Version,
    Check,
    Print,
    Example,
}

/// A command line taken apart.
#[derive(Debug, Default)]
struct Line {
    verb: Verb,
    config: Option<String>,
    flags: BTreeMap<String, String>,
    words: Vec<String>,
    faults: Vec<String>,
}

impl Line {
    fn parse(arguments: &[String]) -> Self {
        let mut line = Line::default();
        let mut rest = arguments.iter().map(String::as_str);
        while let Some(argument) = rest.next() {
            match argument {
                "--help" | "-h" => line.verb = Verb::Help,
                "--version" | "-V" => line.verb = Verb::Version,
                // Behind other words they may be somebody's name.
                "help" if line.words.is_empty() => line.verb = Verb::Help,
                "config" if line.words.is_empty() => line.take_verb(rest.next()),
                // The one switch: it has no value behind it.
                "--json" => line.take_flag("--json", Some("true")),
                flag if flag.starts_with("--") => match flag.split_once('=') {
                    Some((name, value)) => line.take_flag(name, Some(value)),
                    None => line.take_flag(flag, rest.next()),
                },
                word => line.words.push(word.to_owned()),
            }
        }
        line
    }

    fn take_verb(&mut self, verb: Option<&str>) {
        match verb {
            Some("check") => self.verb = Verb::Check,
            Some("print") => self.verb = Verb::Print,
            Some("example") => self.verb = Verb::Example,
            _ => self.faults.push("after config, one of check, print, example is expected".to_owned()),
        }
    }

    fn take_flag(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else {
            self.faults.push(format!("flag {name} has no value"));
            return;
        };
        let previous = if name == "--config" {
            self.config.replace(value.to_owned())
        } else {
            self.flags.insert(name.to_owned(), value.to_owned())
        };
        if previous.is_some() {
            self.faults.push(format!("flag {name} is given twice"));
        }
    }
}
