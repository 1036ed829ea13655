//! What every key of the data needs, and what that means for what was erased.

use std::collections::{BTreeMap, BTreeSet};

use broker::{Broker, Record};
use protocol::keys::{Erasure, Holder, KeyName, KeyState, RootSince};
use protocol::{Timestamp, subject};
use sealing::Roots;
use service::process::say;

use crate::ground::fault;
use crate::{Config, Error};

/// Keys read at once.
const BATCH: usize = 1_000;

/// What the keys of the data need.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many keys each root key opens, by its version.
    opened: BTreeMap<u16, u64>,
    erased: u64,
    /// Who is being erased.
    erasing: BTreeSet<Holder>,
    /// Since when keys are wrapped under each root key.
    since: BTreeMap<u16, Timestamp>,
    /// How many nothing opens, and the first of them with the reason.
    unopened: u64,
    first_unopened: Option<String>,
}

impl Report {
    /// Reads every key.
    pub async fn of(broker: &Broker, roots: &Roots) -> Result<Self, Error> {
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
        if let Some(holder) = Holder::of_erasure(subject) {
            match Erasure::decode(payload) {
                Some(Erasure { done: false, .. }) => self.erasing.insert(holder),
                _ => self.erasing.remove(&holder),
            };
            return;
        }
        if let Some(version) = subject::root_of_since(subject) {
            if let Ok(RootSince { since }) = serde_json::from_slice(payload) {
                self.since.insert(version, since);
            }
            return;
        }
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

    /// Tells the owner.
    ///
    /// # Errors
    /// [`Error::Roots`] when a key does not open.
    pub fn say(&self, config: &Config, roots: &Roots) -> Result<(), Error> {
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
        for holder in &self.erasing {
            say(&format!(
                "{holder} is not erased from every place yet: the running backchat goes on with it."
            ));
        }
        say(&self.horizon(&roots.versions()));
        Ok(())
    }

    /// Up to when what was erased is erased in backups too.
    fn horizon(&self, roots: &[u16]) -> String {
        let newest = roots.last().copied().unwrap_or_default();
        let older: Vec<_> = roots.iter().filter(|root| **root != newest).collect();
        let needed = older.iter().find(|root| self.opened.contains_key(root));
        let since = self.since.get(&newest).filter(|_| newest > 1);
        match (since, needed, older.first()) {
            (_, Some(root), _) => format!(
                "root-{root} is still in use: finish with backchat keys rotate, then it can be destroyed, and erasures are complete \
                 in backups."
            ),
            (None, None, _) => {
                "No root key was replaced yet: whoever has it opens in older backups what was erased since. \
                 See backchat keys rotate."
                    .into()
            }
            (Some(since), None, Some(root)) => format!(
                "Erasures will be complete in backups, all up to {since}, when root-{root} is destroyed here and wherever else it lies."
            ),
            (Some(since), None, None) => {
                format!(
                    "Erasures are complete in backups: all up to {since}, where no copy of an older root key is left."
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealing::Root;

    fn record(subject: &str, payload: Vec<u8>) -> Record {
        let (subject, at) = (subject.to_owned(), Timestamp::from_millis(0));
        Record { subject, seq: 1, at, payload: payload.into(), trace: None }
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
        let opened = [(1, 1), (2, 1)].into();
        assert_eq!(all, Report { opened, erased: 1, erasing: [holder].into(), ..Report::default() });
        let without_the_old = count(&Roots::of(vec![two]).unwrap());
        assert_eq!((without_the_old.unopened, without_the_old.opened), (1, [(2, 1)].into()));
        let first = without_the_old.first_unopened.unwrap();
        assert!(first.contains(subject::CANARY) && first.contains("root key 1 is missing"), "{first}");
    }

    #[test]
    fn erasures_are_complete_in_backups_up_to_when_the_newest_root_key_came() {
        let report = |opened: &[u16]| Report {
            opened: opened.iter().map(|root| (*root, 1)).collect(),
            since: [(1, Timestamp::from_millis(0)), (2, Timestamp::from_millis(1_000))].into(),
            ..Report::default()
        };
        for (opened, roots, words) in [
            (&[1][..], &[1][..], "No root key was replaced yet"),
            (&[1, 2], &[1, 2], "root-1 is still in use"),
            (&[2], &[1, 2], "all up to 1970-01-01T00:00:01.000Z, when root-1 is destroyed"),
            (&[2], &[2], "are complete in backups: all up to 1970-01-01T00:00:01.000Z"),
        ] {
            let said = report(opened).horizon(roots);
            assert!(said.contains(words), "{said}");
        }
    }
}
