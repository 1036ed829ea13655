//! A newer layout of the tables takes over from an older one, without a pause.
//!
//! Its tables are filled from the log beside the older ones, which workers of that layout read and fill meanwhile. When they hold what
//! the log says, they are read from then on; the older workers stop, and the older tables go. An older history that the log can't
//! give back is not replaced.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use protocol::RoomSlug;
use protocol::query::{Verified, Verify};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::projection::Part;
use crate::shard::Progress;
use crate::signals::Signals;
use crate::store::Store;
use crate::verify::Verifier;
use crate::{Error, replay};

/// Between two looks whether the new tables have come to the end of the log.
const LOOK: Duration = Duration::from_secs(1);
/// After this it is looked again whether what stood in the way is mended.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Longest wait until the new tables have come to where the log ended just before.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);
/// Then no worker of the older layout answers any more.
const READERS_MAX: Duration = Duration::from_secs(30);

/// The layout of one database.
pub struct Layout {
    pub store: Store,
    pub broker: Broker,
    pub signals: Arc<Signals>,
    /// The shards in the database, and how far each is applied.
    pub parts: Vec<(Part, watch::Receiver<Option<Progress>>)>,
    /// Whether this layout is the one that is read.
    pub is_read: watch::Sender<bool>,
}

/// What the taking over waits for.
enum Waits {
    /// What comes by itself.
    Short(String),
    /// What a person must see to.
    Long(String),
}

impl Layout {
    /// Takes over from an older layout, if there is one, as soon as it may, and removes what is left of older ones. It may be cancelled
    /// anywhere.
    pub async fn run(self, older: Option<i64>) {
        if let Some(older) = older {
            self.take_over(older).await;
        }
        sleep(READERS_MAX).await;
        while let Err(error) = self.store.remove_older_layouts().await {
            tracing::warn!(%error, "the tables of an older layout can't be removed now");
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn take_over(&self, older: i64) {
        self.say(Some("it begins"));
        loop {
            let (why, pause) = match self.step(older).await {
                Ok(None) => break,
                Ok(Some(Waits::Short(why))) => (why, LOOK),
                Ok(Some(Waits::Long(why))) => (why, LOOK_AGAIN),
                Err(error) => (error.to_string(), LOOK),
            };
            self.say(Some(&why));
            sleep(pause).await;
        }
        self.say(None);
        self.is_read.send_replace(true);
    }

    fn say(&self, why: Option<&str>) {
        for (part, _) in &self.parts {
            self.signals.makes_layout(part.shard, why);
        }
    }

    /// Takes over if it may; says what it waits for otherwise.
    async fn step(&self, older: i64) -> Result<Option<Waits>, Error> {
        // Another worker may have been first.
        if self.store.older_layout().await?.is_none() {
            return Ok(None);
        }
        for (part, progress) in &self.parts {
            if !self.is_caught_up(*part, progress.clone()).await? {
                let applied = progress.borrow().map_or(0, |progress| progress.applied);
                let lag = self.broker.lag(&part.shard.stream(), &part.shard.log_all(), applied).await?;
                return Ok(Some(Waits::Short(format!(
                    "{} entries of the log are still to come",
                    lag.entries
                ))));
            }
        }
        if let Some(room) = self.lost(older).await? {
            return Ok(Some(Waits::Long(format!(
                "the log has lost the beginning of rooms such as {room}, which the older history still has: it stays, and the backchat \
                 of before can read it"
            ))));
        }
        for (part, progress) in &self.parts {
            let different = self.different(*part, progress).await?;
            if different > 0 {
                return Ok(Some(Waits::Long(format!(
                    "they differ from it in {different} places, which this process has logged"
                ))));
            }
        }
        self.store.take_over(older).await?;
        Ok(None)
    }

    /// Whether the new tables have all that the log has now; meanwhile more may come.
    async fn is_caught_up(
        &self,
        part: Part,
        mut progress: watch::Receiver<Option<Progress>>,
    ) -> Result<bool, Error> {
        let (stream, all) = (part.shard.stream(), part.shard.log_all());
        let head = self.broker.last_confirmed(&stream, &all).await?.map_or(0, |last| last.seq);
        let there = progress.wait_for(|now| now.is_some_and(|now| now.applied >= head));
        Ok(matches!(timeout(CATCH_UP_MAX, there).await, Ok(Ok(_))))
    }

    /// A room that the older layout has and this one has not, because the log has not all of it.
    async fn lost(&self, older: i64) -> Result<Option<RoomSlug>, Error> {
        let mut after = None;
        loop {
            let rooms = self.store.older_rooms(older, after.as_ref()).await?;
            let held = self.store.rooms(&rooms).await?;
            for room in rooms.iter().filter(|room| !held.contains_key(*room)) {
                if self.is_lost(room).await? {
                    return Ok(Some(room.clone()));
                }
            }
            let Some(last) = rooms.into_iter().next_back() else { return Ok(None) };
            after = Some(last);
        }
    }

    /// A room that was created a moment ago is still to come.
    async fn is_lost(&self, room: &RoomSlug) -> Result<bool, Error> {
        let of = |part: &Part| part.has(room);
        // A database may have rooms of a shard that is elsewhere now.
        let Some(part) = self.parts.iter().map(|(part, _)| *part).find(of) else { return Ok(false) };
        let (stream, log) = (part.shard.stream(), part.shard.log(room));
        let first = self.broker.next_confirmed(&stream, &log, 0).await?;
        Ok(first.is_none_or(|first| !replay::is_a_beginning(&first.payload)))
    }

    async fn different(
        &self,
        part: Part,
        progress: &watch::Receiver<Option<Progress>>,
    ) -> Result<u64, Error> {
        let verifier = Verifier { part, broker: self.broker.clone(), store: self.store.clone() };
        let (mut different, mut next) = (0, Some(Verify::Rooms { after: None }));
        while let Some(what) = next {
            let applied = progress.borrow().map_or(0, |progress| progress.applied);
            let Verified { differences, next: further, different: found, .. } =
                verifier.part(what, applied).await?;
            differences.iter().for_each(|difference| self.signals.differs(part.shard, difference));
            different += found;
            next = further;
        }
        Ok(different)
    }
}
