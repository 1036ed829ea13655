//! Which database the history of each shard is in.

use std::ops::RangeInclusive;
use std::str::FromStr;

use protocol::subject::{Shard, Shards};

use crate::store::{BadAddress, DatabaseAddress};

/// One database for all shards, or one for each range of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Databases(Vec<(RangeInclusive<u16>, DatabaseAddress)>);

const FORMS: BadAddress = BadAddress::new(
    "several databases are written FIRST-LAST=ADDRESS with commas between them, such as 0-3=ws://…,4-7=ws://…; a comma in a \
     password is %2C",
);

impl FromStr for Databases {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        if !text.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok(Self(vec![(0..=u16::MAX, text.parse()?)]));
        }
        text.split(',').map(ranged).collect::<Result<_, _>>().map(Self)
    }
}

fn ranged(text: &str) -> Result<(RangeInclusive<u16>, DatabaseAddress), BadAddress> {
    let (range, address) = text.split_once('=').ok_or(FORMS)?;
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse().map_err(|_| FORMS);
    Ok((number(first)?..=number(last)?, address.parse()?))
}

impl Databases {
    /// Each address.
    pub fn addresses(&self) -> impl Iterator<Item = &DatabaseAddress> {
        self.0.iter().map(|(_, address)| address)
    }

    /// Each address with the shards of an installation that it is for. One that is for none is left out, and told in the log: it may
    /// be for shards that are about to be added.
    ///
    /// # Errors
    /// A sentence, when a shard has no database or two.
    pub fn of_shards(&self, shards: Shards) -> Result<Vec<(&DatabaseAddress, Vec<Shard>)>, String> {
        for shard in shards.all() {
            match self.0.iter().filter(|(range, _)| range.contains(&shard.0)).count() {
                1 => {}
                0 => return Err(format!("no database is named for shard {} of {}", shard.0, shards.count())),
                _ => return Err(format!("more than one database is named for shard {}", shard.0)),
            }
        }
        let mut used = Vec::new();
        for (range, address) in &self.0 {
            let of_one: Vec<_> = shards.all().filter(|shard| range.contains(&shard.0)).collect();
            if of_one.is_empty() {
                let (first, last, count) = (range.start(), range.end(), shards.count());
                tracing::warn!(%address, first, last, count, "a database is for no shard: its range is beyond those that there are");
                continue;
            }
            used.push((address, of_one));
        }
        Ok(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, shards: u16) -> Result<Vec<(String, Vec<u16>)>, String> {
        let databases: Databases = text.parse().map_err(|bad: BadAddress| bad.to_string())?;
        let found = databases.of_shards(Shards::at_first(shards))?;
        let numbers = |shards: Vec<Shard>| shards.into_iter().map(|shard| shard.0).collect();
        Ok(found.into_iter().map(|(address, shards)| (address.to_string(), numbers(shards))).collect())
    }

    #[test]
    fn one_database_is_for_all_shards_and_several_are_for_their_ranges() {
        let one = of("surrealkv://data/history?sync=5s", 3).unwrap();
        assert_eq!(one, [("surrealkv://data/history".to_owned(), vec![0, 1, 2])]);
        let two = of("0-1=ws://u:p%2C1@a:8000/n/d,2=ws://b:8000/n/d", 3).unwrap();
        let (first, second) = ("ws://a:8000/n/d".to_owned(), "ws://b:8000/n/d".to_owned());
        assert_eq!(two, [(first, vec![0, 1]), (second, vec![2])]);
    }

    #[test]
    fn a_database_may_be_named_before_its_shards_are_added() {
        let text = "0-1=ws://a/n/d,2-3=ws://b/n/d";
        assert_eq!(of(text, 2).unwrap(), [("ws://a/n/d".to_owned(), vec![0, 1])]);
        let (first, second) = ("ws://a/n/d".to_owned(), "ws://b/n/d".to_owned());
        assert_eq!(of(text, 4).unwrap(), [(first, vec![0, 1]), (second, vec![2, 3])]);
    }

    #[test]
    fn every_shard_has_exactly_one_database() {
        for (text, shards, sentence) in [
            ("0=ws://a/n/d", 2, "no database is named for shard 1 of 2"),
            ("0-1=ws://a/n/d,1=ws://b/n/d", 2, "more than one database is named for shard 1"),
            ("0-=ws://a/n/d", 2, "FIRST-LAST=ADDRESS"),
            ("0-1ws://a/n/d", 2, "FIRST-LAST=ADDRESS"),
            ("0-1=ws://a/n", 2, "a database is surrealkv://FOLDER"),
        ] {
            let why = of(text, shards).unwrap_err();
            assert!(why.contains(sentence), "{text}: {why}");
        }
    }
}
