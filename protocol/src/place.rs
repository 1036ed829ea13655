//! Which part of a room's history is meant: by a link, a page's script, or a program.

use crate::{MessageId, Timestamp};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Which rows a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PagePlace {
    /// Those just before this sequence, which itself is left out.
    Before(u64),
    /// Those just after this sequence, which itself is left out.
    After(u64),
    /// Those around a spot, half of them before it.
    Around(Spot),
}

/// One spot in a room's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    Message(MessageId),
    /// The first row from there on.
    Since(Since),
}

/// Where to begin in a room's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// At this sequence.
    Seq(u64),
    /// When the broker stored what is to be shown, or later.
    Time(Timestamp),
}

/// The text names no spot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSpot;

/// A message id, a sequence, a moment (RFC 3339), or a day in UTC (`2026-11-26`).
impl FromStr for Spot {
    type Err = NoSpot;
    fn from_str(text: &str) -> Result<Self, NoSpot> {
        if let Ok(seq) = text.parse() {
            return Ok(Self::Since(Since::Seq(seq)));
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::Message(id));
        }
        let time = Timestamp::parse(text).or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z")));
        time.map(|time| Self::Since(Since::Time(time))).map_err(|_| NoSpot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_is_an_id_a_sequence_a_moment_or_a_day() {
        let id = "0197b6f0-7d1c-7a54-9c0e-2f3a6f1d9e10";
        let midnight = Timestamp::parse("2026-11-25T23:00:00Z").unwrap();
        for (text, spot) in [
            (id, Spot::Message(id.parse().unwrap())),
            ("42", Spot::Since(Since::Seq(42))),
            ("2026-11-26T00:00:00+01:00", Spot::Since(Since::Time(midnight))),
            ("2026-11-25", Spot::Since(Since::Time(midnight.plus_seconds(-23 * 3_600)))),
        ] {
            assert_eq!(text.parse(), Ok(spot), "{text}");
        }
        for bad in ["", "-1", "1.5", "yesterday", "2026-13-01", "99999999999999999999999", "2026-11-25T"] {
            assert_eq!(bad.parse::<Spot>(), Err(NoSpot), "{bad}");
        }
    }
}
