//! The check that finds a quiet room's last message: a live message that was lost with nothing after it to show the hole.

use super::{Room, ring::Ring};
use crate::state::Gateway;
use broker::{Record, StreamInfo};
use protocol::{
    RoomSlug, Timestamp,
    subject::{self, Shard},
};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a log must look shorter than what was seen of it before that is believed: a leader of the log that stood still
/// and goes on believes for a moment that it leads still.
const DOUBT: Duration = Duration::from_secs(2);

/// Rooms whose log looks too short, and since when.
type Doubts = HashMap<RoomSlug, Instant>;

/// What a shard was when all its open rooms were last compared with it, by a replica that had all of it, and had come to their
/// heads. While it is the same, nothing can have been missed.
type Compared = HashMap<Shard, Look>;

/// A look at the heads of all open rooms.
struct Looked {
    /// When it began.
    at: Timestamp,
    /// Rooms that had not come to the head which was seen then.
    behind: Vec<(Weak<Room>, u64)>,
}

impl Looked {
    /// Whether every room that is still open has come to what was seen: then nothing from before the look is unseen.
    fn is_complete(&self) -> bool {
        self.behind.iter().all(|(room, head)| room.upgrade().is_none_or(|room| room.head().seq >= *head))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    stream: StreamInfo,
    /// Rooms that had been opened by then.
    opened: u64,
}

/// Compares every open room's ring with the log, all rooms of a shard in one request: once in each period, and at once
/// whenever the broker's connection may have lost something.
pub async fn check_heads(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let mut connection = gateway.broker.connection();
    let (mut doubts, mut compared) = (Doubts::new(), Compared::new());
    let mut last: Option<Looked> = None;
    loop {
        // A clock and a signal: either may be cancelled.
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = connection.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(gateway.config.head_check) => {}
        }
        if connection.borrow_and_update().connected {
            let looked = check(&gateway, &mut doubts, &mut compared).await;
            // Rooms have had until now to come to what was seen the last time.
            for complete in [&last, &looked].into_iter().flatten().filter(|looked| looked.is_complete()) {
                gateway.signals.heads_checked(complete.at);
            }
            last = looked;
        }
    }
}

/// Looks once; `None` when not every room could be compared.
async fn check(gateway: &Gateway, doubts: &mut Doubts, compared: &mut Compared) -> Option<Looked> {
    let mut looked = Looked { at: Timestamp::now(), behind: Vec::new() };
    let opened = gateway.rooms.opened();
    let mut rooms: HashMap<Shard, Vec<(Arc<Room>, u64)>> = HashMap::new();
    for room in gateway.rooms.all() {
        let seen = room.head().seq;
        rooms.entry(room.shard).or_default().push((room, seen));
    }
    doubts.retain(|slug, _| gateway.rooms.get(slug).is_some());
    let mut checked_all = true;
    for (shard, rooms) in rooms {
        let look = gateway.broker.stream(&shard.stream()).await.ok().map(|stream| Look { stream, opened });
        if look.is_some() && compared.get(&shard) == look.as_ref() {
            continue;
        }
        compared.remove(&shard);
        let subjects: Vec<_> = rooms.iter().map(|(room, _)| shard.log(&room.slug)).collect();
        match gateway.broker.last_many_upto(&shard.stream(), &subjects).await {
            Ok((heads, upto)) => {
                let behind = compare(gateway, &rooms, &heads, doubts).await;
                let whole = look.filter(|look| upto >= look.stream.last_seq);
                checked_all &= whole.is_some();
                let settled = doubts.is_empty() && behind.is_empty();
                compared.extend(whole.filter(|_| settled).map(|look| (shard, look)));
                looked.behind.extend(behind);
            }
            Err(error) => {
                tracing::debug!(%error, "the heads of rooms can't be looked up");
                checked_all = false;
            }
        }
    }
    checked_all.then_some(looked)
}

/// Tells each room the head of its log; gives those that have not come to it, with their heads.
async fn compare(
    gateway: &Gateway,
    rooms: &[(Arc<Room>, u64)],
    heads: &[Record],
    doubts: &mut Doubts,
) -> Vec<(Weak<Room>, u64)> {
    let mut behind = Vec::new();
    let heads: HashMap<_, _> =
        heads.iter().filter_map(|head| Some((subject::room_of(&head.subject)?, head.seq))).collect();
    for (room, seen) in rooms {
        let head = heads.get(&room.slug).copied().unwrap_or(0);
        room.note_head(head);
        if *seen < head {
            behind.push((Arc::downgrade(room), head));
        }
        if head >= *seen {
            doubts.remove(&room.slug);
        } else if doubts.entry(room.slug.clone()).or_insert_with(Instant::now).elapsed() > DOUBT {
            start_anew_if_shorter(gateway, room, *seen).await;
            doubts.remove(&room.slug);
        }
    }
    behind
}

/// A log that ends before what was seen of it is an older copy put in its place (or a replica that lags, which the
/// leader's word rules out). New events would have sequences that count as seen.
async fn start_anew_if_shorter(gateway: &Gateway, room: &Room, seen: u64) {
    let (stream, subject) = (room.shard.stream(), room.shard.log(&room.slug));
    let Ok(last) = gateway.broker.last_confirmed(&stream, &subject).await else { return };
    let head = last.map_or(0, |last| last.seq);
    if head < seen {
        tracing::error!(room = %room.slug, seen, head, "the log is shorter than what was seen of it");
        room.start_anew(Ring::new(room.identity(), head, gateway.config.ring));
    }
}
