//! Where a comparison goes on, as an operator types it: for each shard that is not compared to its end, the room behind which the
//! rest comes (`0:tea_x7qa`), nothing when that is all of it (`1:`), or the sequence behind which rooms of the log are looked for that
//! the history has not (`2:@4711`).

use std::collections::BTreeMap;

use protocol::RoomSlug;
use protocol::query::Verify;
use protocol::subject::{Shard, Shards};

use crate::Error;

pub fn named(left: &BTreeMap<Shard, Verify>) -> String {
    let place = |(shard, next): (&Shard, &Verify)| match next {
        Verify::Room(room) | Verify::Rooms { after: Some(room) } => format!("{}:{room}", shard.0),
        Verify::Rooms { after: None } => format!("{}:", shard.0),
        Verify::Unknown { after } => format!("{}:@{after}", shard.0),
    };
    left.iter().map(place).collect::<Vec<_>>().join(",")
}

/// # Errors
/// [`Error::Refused`] for what is no such place.
pub fn read(places: &str, shards: Shards) -> Result<BTreeMap<Shard, Verify>, Error> {
    places.split(',').map(|place| one(place, shards)).collect()
}

fn one(place: &str, shards: Shards) -> Result<(Shard, Verify), Error> {
    let read = || {
        let (shard, behind) = place.split_once(':')?;
        let shard = shard.parse().ok().map(Shard).filter(|shard| shard.0 < shards.count())?;
        let next = match behind.strip_prefix('@') {
            Some(seq) => Verify::Unknown { after: seq.parse().ok()? },
            None if behind.is_empty() => Verify::Rooms { after: None },
            None => Verify::Rooms { after: Some(RoomSlug::parse(behind).ok()?) },
        };
        Some((shard, next))
    };
    read().ok_or_else(|| {
        Error::Refused(format!(
            "{place:?} is no place to go on from: it is SHARD:ROOM, as a comparison that was cut short names it"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_named() {
        let shards = Shards::at_first(3);
        let left: BTreeMap<_, _> = [
            (Shard(0), Verify::Rooms { after: Some(RoomSlug::parse("tea_x7qa").unwrap()) }),
            (Shard(1), Verify::Rooms { after: None }),
            (Shard(2), Verify::Unknown { after: 4_711 }),
        ]
        .into();
        assert_eq!(named(&left), "0:tea_x7qa,1:,2:@4711");
        assert_eq!(read(&named(&left), shards).unwrap(), left);
        for bad in ["", "0", "tea", "3:tea", "0:Tea", "0:@x", "0:tea,", ":tea", "-1:tea"] {
            assert!(read(bad, shards).is_err(), "{bad:?} was taken");
        }
    }
}
