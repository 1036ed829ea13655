//! Settings: flags over environment over a TOML file over the default, one struct per service.
//!
//! A service names each setting once, in [`Settings::read`], with its default and its meaning. From these lines come the
//! value, the list of faults, `--help`, and `config check | print | example`. A setting called `ping_interval_ms` of the
//! gateway is the flag `--ping-interval-ms`, the variable `BACKCHAT_GATEWAY_PING_INTERVAL_MS` and the key
//! `ping_interval_ms` of the file that `--config FILE` or `BACKCHAT_GATEWAY_CONFIG` names.

mod ask;
mod fault;
mod layers;
mod reference;
mod secret;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

pub use ask::{Ask, ask, load, load_from};
pub(crate) use ask::{arguments, environment};
pub use fault::ConfigFaults;
pub use secret::{Secret, without_passwords};

use layers::Layers;
use reference::{Reference, Setting};

/// A service's settings.
pub trait Settings: Sized {
    /// The service's name: `gateway`, `history-worker`, `search-worker`, `auth-service` or `backchat`.
    const SERVICE: &'static str;
    /// How its program is called, where that is another name.
    const PROGRAM: &'static str = Self::SERVICE;

    /// Reads every setting from `source`. Runs to its end even when values are wrong: the source collects the faults.
    fn read(source: &mut Source) -> Self;

    /// Decides what becomes of faults. No program starts with any, unless it was asked to say what is wrong.
    ///
    /// # Errors
    /// The faults, when it does not start.
    fn take_faults(&mut self, faults: ConfigFaults) -> Result<(), ConfigFaults> {
        Err(faults)
    }
}

/// Where settings are read from; collects what was asked for and what was wrong with it.
pub struct Source {
    layers: Layers,
    /// What stands on the command line beside flags.
    words: String,
    reference: Reference,
    faults: Vec<String>,
}

/// What is different for a service that runs inside another process.
#[derive(Debug, Default)]
pub struct Inside<'a> {
    /// Settings that the process decides. A value given for one of them is a fault, since it would have no effect.
    pub decided: &'a [&'static str],
    /// Settings with another default, and that default.
    pub defaults: &'a [(&'static str, &'a str)],
}

impl Source {
    fn new(layers: Layers) -> Self {
        Self { layers, words: String::new(), reference: Reference::default(), faults: Vec::new() }
    }

    /// Whether the command line has these words beside its flags: `keys check`. A program without words runs.
    pub fn command(&mut self, words: &'static str, doc: &'static str) -> bool {
        self.reference.commands.push((words.to_owned(), doc));
        let is_asked = self.words == words;
        if is_asked {
            self.words.clear();
        }
        is_asked
    }

    /// What stands behind these words on the command line: the room in `erase room tea_x7qa`. `operand` says what it is.
    pub fn command_on(
        &mut self,
        words: &'static str,
        operand: &'static str,
        doc: &'static str,
    ) -> Option<String> {
        self.reference.commands.push((format!("{words} {operand}"), doc));
        let given = self.words.strip_prefix(words)?.strip_prefix(' ')?.to_owned();
        self.words.clear();
        Some(given)
    }

    /// A setting with a default. `default` must itself be a valid value.
    pub fn value<T>(&mut self, name: &'static str, default: &str, doc: &'static str) -> T
    where
        T: FromStr,
        T::Err: Display,
    {
        let given = self.given(Setting::new(name, default, doc));
        given.and_then(|given| self.parsed(&given)).unwrap_or_else(|| parse_default(name, default))
    }

    /// A number (or another ordered value) that must lie in `range`, both ends included.
    pub fn ranged<T>(
        &mut self,
        name: &'static str,
        default: T,
        range: RangeInclusive<T>,
        doc: &'static str,
    ) -> T
    where
        T: FromStr + PartialOrd + Display,
        T::Err: Display,
    {
        let bounds = format!("from {} to {}", range.start(), range.end());
        let given = self.given(Setting::new(name, &default.to_string(), doc).with_bounds(&bounds));
        let Some(given) = given else { return default };
        match self.parsed::<T>(&given) {
            Some(value) if range.contains(&value) => value,
            Some(value) => {
                self.faults.push(format!("{}: {value} is out of range, it must be {bounds}", given.origin));
                default
            }
            None => default,
        }
    }

    /// A setting that may be absent. An empty value counts as absent.
    pub fn optional<T>(&mut self, name: &'static str, doc: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let given = self.given(Setting::new(name, "", doc))?;
        if given.text.is_empty() { None } else { self.parsed(&given) }
    }

    /// Several values, separated by commas, or an array in the file. Spaces around each are dropped, empty ones too.
    pub fn list<T>(&mut self, name: &'static str, default: &str, doc: &'static str) -> Vec<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let given = self.given(Setting::new(name, default, doc).with_list());
        let Some(given) = given else {
            return items(default).map(|item| parse_default(name, item)).collect();
        };
        items(&given.text)
            .filter_map(|item| self.parsed(&layers::Given { text: item.to_owned(), ..given.clone() }))
            .collect()
    }

    /// A text that is never shown: not in logs, faults, `config print` nor `Debug`. Empty when it is not given.
    pub fn secret(&mut self, name: &'static str, doc: &'static str) -> Secret {
        let given = self.given(Setting::new(name, "", doc).with_secret());
        Secret::new(given.map(|given| given.text).unwrap_or_default())
    }

    /// Adds a fault that no single value shows, such as two settings that contradict each other.
    pub fn fault(&mut self, text: impl Into<String>) {
        self.faults.push(text.into());
    }

    /// The settings of a service that runs inside this process, under its own variables, a flag prefix
    /// (`--gateway-ping-interval-ms`) and a table of the file (`[gateway]`).
    pub fn nested<S: Settings>(&mut self, inside: &Inside<'_>) -> S {
        let mut inner = Source::new(self.layers.split(S::SERVICE, inside.defaults));
        let settings = S::read(&mut inner);
        for setting in
            inner.reference.settings.iter().filter(|setting| inside.decided.contains(&setting.name))
        {
            if let Some(origin) = &setting.origin {
                inner.faults.push(format!("{origin}: {} decides this one itself", self.layers.service()));
            }
        }
        inner.reference.settings.retain(|setting| !inside.decided.contains(&setting.name));
        self.layers.absorb(inner.layers);
        self.reference.settings.append(&mut inner.reference.settings);
        self.faults.append(&mut inner.faults);
        settings
    }

    fn given(&mut self, mut setting: Setting) -> Option<layers::Given> {
        let given = match self.layers.take(setting.name) {
            Ok(given) => given,
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        };
        setting.service = self.layers.service();
        setting.variable = self.layers.variable(setting.name);
        setting.flag = self.layers.flag(setting.name);
        setting.origin = given.as_ref().filter(|given| !given.is_default).map(|given| given.origin.clone());
        setting.text = given.as_ref().map(|given| given.text.clone());
        self.reference.settings.push(setting);
        given
    }

    fn parsed<T>(&mut self, given: &layers::Given) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match given.text.parse() {
            Ok(value) => Some(value),
            Err(reason) => {
                let text = without_passwords(&given.text);
                self.faults.push(format!("{}: {text:?} is not a valid value: {reason}", given.origin));
                None
            }
        }
    }

    /// Ends the reading: what nobody asked for is a fault too.
    fn finish(mut self) -> (Reference, Vec<String>) {
        if !self.words.is_empty() {
            self.faults.push(format!("argument {} is not expected here, see --help", self.words));
        }
        self.faults.extend(self.layers.unknown());
        (self.reference, self.faults)
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn parse_default<T>(name: &str, default: &str) -> T
where
    T: FromStr,
    T::Err: Display,
{
    match default.parse() {
        Ok(value) => value,
        Err(reason) => unreachable!("the default {default:?} of {name} is valid: {reason}"),
    }
}

#[cfg(test)]
mod tests;
