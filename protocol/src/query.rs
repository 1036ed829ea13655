//! What the history worker is asked over the broker, as JSON requests on
//! [`crate::subject::Shard::history_queries`], and what it answers: texts are sealed, the worker has no keys.

use crate::{MessageId, RoomSlug, SealedStored, Since, StreamIdentity, Timestamp, view::SealedRow};
use serde::{Deserialize, Serialize};

/// The header of an older part of a room that says up to which sequence of the room's shard the history worker had applied the log
/// when it gave the part. It is missing where the gateway read the log itself, since no worker answered.
pub const APPLIED_HEADER: &str = "backchat-history-applied";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "snake_case")]
pub enum HistoryQuery {
    /// A page of a room as it is now, oldest first.
    Page(PageQuery),
    /// Where a room's rows lie: what a page around a spot has to reach to.
    Locate(LocateQuery),
    /// A room's events behind a cursor, for which the log does not reach back far enough.
    After(AfterQuery),
    /// The messages of a room with this id: one, but for clients that use an id that is another's.
    Find { room: RoomSlug, id: MessageId },
    /// The last message of each of these rooms (at most 200), where there is one.
    Last { rooms: Vec<RoomSlug> },
    /// How far the shard's history is.
    Status,
    /// What could not be applied.
    SetAside(AskSetAside),
    /// Whether the history has what the log says, a part at a time; one asker at a time.
    Verify(Verify),
    /// Making the history anew from the log.
    Replay(AskReplay),
    /// Everything that the shard's history holds at this moment, to be kept elsewhere.
    Snapshot,
    /// A backup of everything, of which the history is a part, was finished: to be noted.
    BackedUp { at: Timestamp },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageQuery {
    pub room: RoomSlug,
    /// The `limit` rows just before this sequence, which itself is left out.
    pub before: u64,
    /// Rows in the page, at most [`crate::limits::PAGE_EVENTS_MAX`].
    pub limit: usize,
    /// Answer only when the projection has applied this sequence; wait for it within the time-out.
    pub at_least: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocateQuery {
    pub room: RoomSlug,
    pub since: Since,
    /// How many rows are wanted from there on, at most [`crate::limits::PAGE_EVENTS_MAX`].
    pub count: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterQuery {
    pub room: RoomSlug,
    /// The `limit` events just after this sequence, which itself is left out.
    pub after: u64,
    /// Events in the answer, at most [`crate::limits::PAGE_EVENTS_MAX`].
    pub limit: usize,
    /// Answer only when the projection has applied this sequence; wait for it within the time-out.
    pub at_least: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum HistoryAnswer {
    Page(Page),
    Located {
        stream: StreamIdentity,
        /// Nothing when no row is so new.
        rows: Option<Located>,
    },
    Events(Events),
    Found {
        stream: StreamIdentity,
        /// Up to which sequence of the shard the projection had applied the log: what came later is not in the answer.
        applied: u64,
        rows: Vec<SealedRow>,
    },
    Last {
        events: Vec<(RoomSlug, SealedStored)>,
    },
    Status(HistoryStatus),
    SetAside {
        /// The first 100, or the one that was asked for; nothing where there is none.
        entries: Vec<SetAside>,
        /// The first bytes of the one that was asked for, in base64, at most [`AskSetAside::SHOWN_BYTES_MAX`].
        payload: Option<String>,
    },
    Verified(Verified),
    Replay {
        /// The last one of the shard, under way or ended; nothing where there never was one.
        last: Option<Replaying>,
    },
    Looked(Looked),
    /// What is given of a snapshot is written under this generation.
    Seeding {
        generation: u64,
    },
    /// A snapshot begins: its pieces are asked for one by one ([`AskPiece`]).
    Snapshot {
        /// Where they are asked for.
        pieces: String,
        /// Up to which sequence the log is in it.
        applied: u64,
    },
    /// The backup is noted.
    BackedUp,
    /// The projection has not come to `at_least` in time; it stands at `applied`.
    Behind {
        applied: u64,
    },
    /// The query can't be answered: its sense is wrong, or the database fails.
    Refused {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Of which life of the stream these sequences are.
    pub stream: StreamIdentity,
    /// Up to which sequence of the shard the projection had applied the log.
    pub applied: u64,
    /// Oldest first.
    pub rows: Vec<SealedRow>,
    /// The room's row just before the first of `rows`; 0 when there is none, so nothing is older.
    pub prev: u64,
}

/// Rows of a room that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// The sequence of the first.
    pub first: u64,
    /// The sequence of the last.
    pub last: u64,
    /// How many they are: fewer than were wanted when the room ends there.
    pub count: usize,
}

/// What of a shard is compared with its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// One room.
    Room(RoomSlug),
    /// The rooms of the history, in their order, behind this one.
    Rooms { after: Option<RoomSlug> },
    /// Whether the rooms that the log has behind this sequence are in the history at all.
    Unknown { after: u64 },
}

/// How a part of a history compares with its log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Rooms and rows that were compared.
    pub rooms: u64,
    pub rows: u64,
    /// Rows from before the log begins: nothing is left to compare them with.
    pub older: u64,
    /// How many differences were found, and in how many rooms.
    pub different: u64,
    #[serde(default)]
    pub different_rooms: u64,
    /// The first of them, at most [`Verified::NAMED_MAX`] for each room.
    pub differences: Vec<Difference>,
    /// With what to go on: the same again, if it takes longer than an answer may. `None` when all is done.
    pub next: Option<Verify>,
}

impl Verified {
    pub const NAMED_MAX: usize = 100;

    /// Counts another part in.
    pub fn add(&mut self, other: Self) {
        self.rooms += other.rooms;
        self.rows += other.rows;
        self.older += other.older;
        self.different += other.different;
        self.different_rooms += other.different_rooms;
        self.differences.extend(other.differences);
    }
}

/// Where the history is not what the log says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Difference {
    pub room: RoomSlug,
    /// The sequence of the row, or of the change; 0 for what is the room's.
    pub seq: u64,
    pub field: String,
    /// What the log says and what the history has; of a text, that they differ.
    pub log: String,
    pub history: String,
}

/// How far the history of a shard is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStatus {
    pub stream: StreamIdentity,
    /// Up to which sequence of the shard the log is applied.
    pub applied: u64,
    /// When the broker had stored what was applied last.
    pub applied_at: Option<Timestamp>,
    /// Entries of the shard's stream after that; 0 when no event is among them.
    pub lag_entries: u64,
    /// How long ago the first event that is not applied was stored, in seconds.
    pub lag_seconds: u64,
    /// Events in the history, and copies of such that were passed over, since it began.
    pub events: u64,
    pub duplicates: u64,
    /// Entries of the log that can't be applied.
    pub set_aside: u64,
    pub oldest_set_aside: Option<SetAside>,
    /// How the whole history last compared with the log, for whomever and by whichever worker.
    pub last_verify: Option<LastVerify>,
    /// The last snapshot that was given to its end, for a backup or alone.
    pub last_snapshot: Option<LastSnapshot>,
    /// When the last backup of everything was finished.
    pub last_backup: Option<Timestamp>,
}

/// When a snapshot was taken, and up to which sequence the log is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSnapshot {
    pub at: Timestamp,
    pub applied: u64,
}

/// The next piece of a snapshot is wanted. The same one may be asked for again, for whom its answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskPiece {
    /// From 0 on.
    pub piece: u64,
}

/// An answer to [`AskPiece`], which is not JSON: a letter, and what comes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotPiece {
    /// Compressed lines of JSON.
    Lines(Vec<u8>),
    /// The pieces before this one are the snapshot.
    End,
    /// It can't be ended, and why; or this piece is not the next one.
    Failed(String),
}

impl SnapshotPiece {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Lines(lines) => [b"l", lines.as_slice()].concat(),
            Self::End => b"e".to_vec(),
            Self::Failed(why) => [b"f", why.as_bytes()].concat(),
        }
    }

    /// `None` for what is no such answer.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (b'l', lines) => Some(Self::Lines(lines.to_vec())),
            (b'e', []) => Some(Self::End),
            (b'f', why) => Some(Self::Failed(String::from_utf8_lossy(why).into_owned())),
            _ => None,
        }
    }
}

/// When all of the history was compared with the log, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastVerify {
    pub at: Timestamp,
    #[serde(default)]
    pub rooms: u64,
    pub rows: u64,
    /// How many differences were found, and in how many rooms.
    pub different: u64,
    #[serde(default)]
    pub different_rooms: u64,
}

/// What is asked about the entries of a shard that can't be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskSetAside {
    /// Those behind this sequence.
    List { after: u64 },
    /// One, with its first bytes.
    Show { seq: u64 },
    /// Forget it. The log keeps it, so that a history that is made anew sets it aside again.
    Drop { seq: u64 },
    /// Make its room anew, if it can be read now.
    Retry { seq: u64 },
}

impl AskSetAside {
    pub const SHOWN_BYTES_MAX: usize = 64 * 1024;
}

/// An entry of the log that can't be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    pub seq: u64,
    /// When the broker stored it.
    pub at: Timestamp,
    pub subject: String,
    pub reason: String,
    /// How long it is in the log.
    pub bytes: u64,
}

/// What is asked about making a shard's history anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskReplay {
    /// Begin; the same that is under way already goes on.
    Begin(Replay),
    /// Say how far it has come.
    Status,
    /// Of which rooms the log has lost the beginning.
    Look(Look),
    /// What a snapshot has of such rooms is about to be given. What was given before and not used is let go.
    Seed(Seeding),
    /// A piece of it.
    Rows(SeedPiece),
    /// Begin, with what was given under this generation: such rooms are made from there on.
    BeginWith { what: Replay, generation: u64 },
}

/// Whether the log has how these rooms began, a part at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    pub rooms: Among,
    /// Up to which sequence a snapshot reaches that may have what the log has not.
    pub snapshot: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Among {
    Room(RoomSlug),
    /// Those of the history behind this one, and then those that only the log has.
    Known {
        after: Option<RoomSlug>,
    },
    /// Those that the log has behind this sequence and the history has not.
    Unknown {
        after: u64,
    },
    /// Of these (at most 200) those that the history has not.
    Strange(Vec<RoomSlug>),
}

/// What was found of some rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// How many were looked at.
    pub rooms: u64,
    /// Those whose beginning the log has lost.
    pub aged: Vec<AgedRoom>,
    /// With what to go on; `None` when all is done.
    pub next: Option<Among>,
}

/// A room whose beginning the log has lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgedRoom {
    pub room: RoomSlug,
    /// The first sequence that the log has of it; nothing when it has nothing.
    pub first: Option<u64>,
    /// Whether nothing is missing between the snapshot that was named and that.
    pub covered: bool,
}

/// Which snapshot is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeding {
    pub shard: u16,
    /// Into how many shards the log was cut at first.
    pub shards: u16,
    /// Of which life of the stream it is, up to which sequence, and when that was stored.
    pub stream: StreamIdentity,
    pub applied: u64,
    pub applied_at: Option<Timestamp>,
}

/// Lines of a snapshot, the first of which is a room's. The same may be given again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedPiece {
    pub generation: u64,
    pub lines: Vec<serde_json::Value>,
}

/// What of a shard's history is made anew from the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    Room(RoomSlug),
    Shard,
}

/// How far a shard's history has been made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaying {
    pub what: Replay,
    pub began_at: Timestamp,
    /// When all was done; nothing while it is under way.
    pub ended_at: Option<Timestamp>,
    /// Rooms that are read from what was made anew.
    pub rooms: u64,
    /// Entries of the log that were read.
    pub entries: u64,
    /// How much is done, and of how much: in entries of the log, or of one room in sequences. Entries may have gone from the log
    /// meanwhile, so that the end may come before.
    pub done: u64,
    pub of: u64,
    /// How many rooms were left as they are.
    pub left: u64,
    /// The first of them, at most [`Replaying::NAMED_MAX`].
    pub left_rooms: Vec<RoomLeft>,
}

impl Replaying {
    pub const NAMED_MAX: usize = 100;
}

/// A room that can't be made anew, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomLeft {
    pub room: RoomSlug,
    pub reason: String,
}

/// Events of a room, with the changes of older messages among them. What was erased is left out, and a message or an edit
/// has the body that the message has now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    pub stream: StreamIdentity,
    pub applied: u64,
    /// Oldest first.
    pub events: Vec<SealedStored>,
    /// Everything of the room after the asked sequence and up to here is in `events`.
    pub reached: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_snapshot_is_read_as_it_was_written() {
        for piece in [
            SnapshotPiece::Lines(vec![0, 1, 255]),
            SnapshotPiece::Lines(Vec::new()),
            SnapshotPiece::End,
            SnapshotPiece::Failed("no".to_owned()),
        ] {
            assert_eq!(SnapshotPiece::decode(&piece.encode()), Some(piece));
        }
        for none in [&b""[..], b"ex", b"x", b"{}"] {
            assert_eq!(SnapshotPiece::decode(none), None);
        }
    }
}
