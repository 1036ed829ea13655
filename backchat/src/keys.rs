//! `backchat keys check | export | import`: what an owner does with root keys.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

use broker::{Broker, Record};
use protocol::keys::{KeyName, KeyState};
use protocol::subject;
use sealing::{Root, Roots};
use service::process::say;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::data::Data;
use crate::ground::{Ground, fault};
use crate::{Config, Error, nats, roots, run_file};

/// Keys read at once.
const BATCH: usize = 1_000;
/// How long the broker of a backchat that runs already is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that are read of standard input, at most: some hundred root keys.
const INPUT_BYTES_MAX: u64 = 32 * 1024;

/// What the keys of the data need.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    /// How many keys each root key opens, by its version.
    opened: BTreeMap<u16, u64>,
    erased: u64,
    /// How many nothing opens, and the first of them with the reason.
    unopened: u64,
    first_unopened: Option<String>,
}

/// Opens every key of the data, whether their backchat runs or not, and says which root keys are needed.
///
/// # Errors
/// [`Error::Roots`] when one does not open; others when data or broker can't be had.
pub async fn check(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let roots = roots::read(&config.roots)?;
    let report = match Data::take_set_up(&config.data).await {
        Ok(data) => check_at_rest(&config, data, &roots, &shutdown).await?,
        Err(Error::DataInUse { .. }) => {
            let credentials = run_file::read(&config.data)?;
            let broker = Broker::connect(&credentials, PATIENCE).await.map_err(fault)?;
            Some(Report::of(&broker, &roots).await?)
        }
        Err(error) => return Err(error),
    };
    match report {
        Some(report) => report.say(&config, &roots),
        None => Ok(()),
    }
}

/// `None` when it was told to stop.
async fn check_at_rest(
    config: &Config,
    data: Data,
    roots: &Roots,
    shutdown: &CancellationToken,
) -> Result<Option<Report>, Error> {
    let program = nats::find(config.nats_server.as_deref()).await?;
    let ground = Ground::start(program, data).await?;
    // Reading changes nothing, so it may be cancelled. The server is stopped in any case.
    let report = tokio::select! {
        () = shutdown.cancelled() => Ok(None),
        report = async { Report::of(&ground.connect().await?, roots).await } => report.map(Some),
    };
    ground.stop().await;
    report
}

impl Report {
    async fn of(broker: &Broker, roots: &Roots) -> Result<Self, Error> {
        let (mut report, mut after) = (Self::default(), 0);
        loop {
            let batch = broker.read_after(subject::KEYS_STREAM, subject::KEYS, after, BATCH).await;
            let batch = batch.map_err(fault)?;
            for record in &batch.records {
                after = record.seq;
                report.count(record, roots);
            }
            if !batch.more || batch.records.is_empty() {
                return Ok(report);
            }
        }
    }

    fn count(&mut self, record: &Record, roots: &Roots) {
        let Record { subject, payload, .. } = record;
        if subject != subject::CANARY && KeyName::of_subject(subject).is_none() {
            return;
        }
        let why = match KeyState::decode(payload) {
            Some(KeyState::Erased { .. }) => {
                self.erased += 1;
                return;
            }
            Some(KeyState::Wrapped { key }) => match roots.unwrap(subject, &key) {
                Ok(_) => {
                    *self.opened.entry(key.root()).or_default() += 1;
                    return;
                }
                Err(why) => why.to_string(),
            },
            None => "it is no key".to_owned(),
        };
        self.unopened += 1;
        self.first_unopened.get_or_insert_with(|| format!("{subject}: {why}"));
    }

    fn say(&self, config: &Config, roots: &Roots) -> Result<(), Error> {
        let (folder, data) = (config.roots.display(), config.data.display());
        let opened: u64 = self.opened.values().sum();
        if let Some(first) = &self.first_unopened {
            return Err(Error::Roots(format!(
                "the root keys in {folder} do not open {} of the {} keys of the data in {data}, the first is {first}",
                self.unopened,
                self.unopened + opened
            )));
        }
        say(&format!("The root keys in {folder} open all {opened} keys of the data in {data}."));
        for version in roots.versions() {
            match self.opened.get(&version) {
                Some(keys) => say(&format!("root-{version}: needed by {keys} keys")),
                None => say(&format!("root-{version}: needed by no key")),
            }
        }
        if self.erased > 0 {
            say(&format!("{} keys were erased.", self.erased));
        }
        Ok(())
    }
}

/// Prints each root key as its number and 24 words.
///
/// # Errors
/// [`Error::Roots`] when there is none.
pub fn export(folder: &Path) -> Result<(), Error> {
    let roots = roots::read(folder)?;
    for version in roots.versions() {
        if let Some(root) = roots.version(version) {
            say(&Zeroizing::new(format!("{version} {}", *root.words())));
        }
    }
    Ok(())
}

/// Makes root keys of what [`export`] printed.
///
/// # Errors
/// [`Error::Roots`] when the words are none of it, or there is such a root key already: then none of them is written.
pub async fn import(config: &Config, shutdown: CancellationToken) -> Result<(), Error> {
    roots::refuse_inside(&config.roots, &config.data)?;
    if std::io::stdin().is_terminal() {
        say("Type each root key as it was exported, its number and its 24 words. End with Ctrl-D.");
    }
    // Nobody waits for the thread when it was told to stop.
    let text = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        text = tokio::task::spawn_blocking(standard_input) => text,
    };
    let text = text.map_err(|error| Error::Roots(error.to_string()))?;
    let text = text.map_err(|error| Error::Roots(format!("standard input can't be read: {error}")))?;
    let imported = roots_of(&text)?;
    let known = roots::read(&config.roots).map(|roots| roots.versions()).unwrap_or_default();
    if let Some(root) = imported.iter().find(|root| known.contains(&root.version())) {
        return Err(Error::Roots(format!(
            "{} has a root key {} already: nothing was changed",
            config.roots.display(),
            root.version()
        )));
    }
    for root in &imported {
        let path = sealing::store(&config.roots, root).map_err(|fault| Error::Roots(fault.to_string()))?;
        say(&format!("Written: {}", path.display()));
    }
    Ok(())
}

fn standard_input() -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// A number begins a root key, however its words are broken into lines.
fn roots_of(text: &str) -> Result<Vec<Root>, Error> {
    let fault = |why: String| Error::Roots(why);
    let is_number = |word: &&str| word.parse::<u16>().is_ok();
    let mut words = text.split_whitespace().peekable();
    let mut roots: Vec<Root> = Vec::new();
    while let Some(number) = words.next() {
        let version = number.parse().ok().filter(|version| *version > 0);
        let version: u16 =
            version.ok_or_else(|| fault("each root key begins with its number, 1 or more".into()))?;
        if roots.iter().any(|root| root.version() == version) {
            return Err(fault(format!("root key {version} is there twice")));
        }
        let mut phrase = Zeroizing::new(String::new());
        while let Some(word) = words.next_if(|word| !is_number(word)) {
            phrase.push_str(word);
            phrase.push(' ');
        }
        let root = Root::of_words(version, phrase.trim_end());
        roots.push(root.map_err(|why| fault(format!("root key {version}: {why}")))?);
    }
    if roots.is_empty() { Err(fault("there are no words".into())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Timestamp;
    use protocol::keys::Holder;

    fn record(subject: &str, payload: Vec<u8>) -> Record {
        Record { subject: subject.to_owned(), seq: 1, at: Timestamp::from_millis(0), payload: payload.into() }
    }

    fn key_under(roots: &Roots, subject: &str) -> Record {
        let key = roots.wrap(subject, &sealing::Key::random().unwrap()).unwrap();
        record(subject, KeyState::Wrapped { key }.encode())
    }

    #[test]
    fn a_report_tells_which_root_keys_are_needed() {
        let (one, two) = (Root::random(1).unwrap(), Root::random(2).unwrap());
        let old = Roots::of(vec![one.clone()]).unwrap();
        let both = Roots::of(vec![one, two.clone()]).unwrap();
        let room = "chat.keys.room.tea_x7qa.1";
        let erased = KeyState::Erased { erased_at: Timestamp::from_millis(0) }.encode();
        let holder = Holder::Room(protocol::RoomSlug::parse("tea_x7qa").unwrap());
        let records = [
            key_under(&old, subject::CANARY),
            key_under(&both, room),
            record("chat.keys.room.coffee.1", erased.clone()),
            record(&holder.erasure_subject(), erased),
        ];
        let count = |roots: &Roots| {
            let mut report = Report::default();
            records.iter().for_each(|record| report.count(record, roots));
            report
        };
        let all = count(&both);
        assert_eq!(all, Report { opened: [(1, 1), (2, 1)].into(), erased: 1, ..Report::default() });
        let without_the_old = count(&Roots::of(vec![two]).unwrap());
        assert_eq!((without_the_old.unopened, without_the_old.opened), (1, [(2, 1)].into()));
        let first = without_the_old.first_unopened.unwrap();
        assert!(first.contains(subject::CANARY) && first.contains("root key 1 is missing"), "{first}");
    }

    #[test]
    fn what_was_written_down_is_read_however_it_is_broken_into_lines() {
        let roots = [1, 12].map(|version| Root::random(version).unwrap());
        let exported = roots.each_ref().map(|root| format!("{} {}", root.version(), *root.words()));
        for text in [exported.join("\n"), exported.join(" ").replace(' ', "\n\t")] {
            let read = roots_of(&text).unwrap();
            assert_eq!(read.iter().map(Root::version).collect::<Vec<_>>(), [1, 12]);
            assert!(read.iter().zip(&roots).all(|(read, root)| *read.words() == *root.words()));
        }
    }

    #[test]
    fn words_that_are_no_root_key_are_refused_with_the_reason() {
        let root = Root::random(1).unwrap();
        let words = root.words();
        for (text, why) in [
            (String::new(), "there are no words"),
            (words.to_string(), "begins with its number"),
            (format!("0 {}", *words), "begins with its number"),
            (format!("1 {}", words.rsplit_once(' ').unwrap().0), "root key 1: these are 23 words, not 24"),
            (format!("1 {} 1 {}", *words, *words), "root key 1 is there twice"),
        ] {
            let said = roots_of(&text).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}
