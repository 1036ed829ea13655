//! The names of the tables. They carry the number of the layout, so that the tables of a newer one are filled beside those that are
//! read.

/// The layout that this code writes and reads.
pub const LAYOUT: i64 = 5;

/// The layout of a database into which a snapshot is being restored: every worker takes it for a newer one, and keeps off.
pub const RESTORING: i64 = i64::MAX;

macro_rules! of_layout {
    ($($table:ident = $name:literal;)*) => {
        $(pub const $table: &str = concat!($name, "_5");)*

        /// All of them.
        pub const ALL: &[&str] = &[$($table),*];
    };
}

of_layout! {
    EVENT = "event";
    SENT = "sent";
    REACTION = "reaction";
    CHANGE = "change";
    TEXT = "text";
    ERASE = "erase";
    ENDED = "ended";
    EXPIRED = "expired";
    KEEP = "keep";
    ROOM = "room";
    CHECKPOINT = "checkpoint";
    ASIDE = "aside";
    REPLAY = "replay";
    STALE = "stale";
    SEED = "seed";
}

/// Where rooms are in an older layout, of which nothing else is known; before the fifth, names had no number.
pub fn rooms_of(layout: i64) -> String {
    if layout < 5 { "room".to_owned() } else { format!("room_{layout}") }
}

/// Whether a table is one of an older layout. Those of a newer one may be filled just now.
pub fn is_older(name: &str) -> bool {
    let (base, layout) = match name.rsplit_once('_') {
        Some((base, number)) => (base, number.parse().unwrap_or(LAYOUT)),
        None => (name, 0),
    };
    let is_ours = |table: &&str| table.rsplit_once('_').is_some_and(|(ours, _)| ours == base);
    layout < LAYOUT && ALL.iter().any(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_carries_the_number_of_the_layout() {
        let end = format!("_{LAYOUT}");
        assert!(ALL.iter().all(|name| name.ends_with(&end)), "{ALL:?}");
        assert_eq!(rooms_of(LAYOUT), ROOM);
    }

    #[test]
    fn older_tables_are_known_by_their_names() {
        assert!(["event", "room", "event_4", "stale_1"].iter().all(|name| is_older(name)));
        let others = [EVENT, "event_6", "event_x", "meta", "theirs", "theirs_1", "my_event_4"];
        assert!(!others.iter().any(|name| is_older(name)));
    }
}
