//! Walking through a shard's history at one moment, line by line.

use archive::Packer;
use protocol::query::SnapshotPiece;
use protocol::{RoomSlug, Timestamp};
use tokio::sync::mpsc;

use super::{Begin, Line};
use crate::checkpoint::Checkpoint;
use crate::edition::Edition;
use crate::projection::{Part, RoomState};
use crate::store::{Store, StoreError};

/// Rows that are read at once.
const ROWS: u64 = 500;
const CHANGES: usize = 1_000;

/// Why a walk ends before its end.
pub enum Stopped {
    Store(StoreError),
    Archive(archive::Error),
    /// Nobody wants the rest.
    Unwanted,
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Where the lines go: compressed pieces, of which the next is made when the one before is taken.
pub struct Walk {
    part: Part,
    /// The history at one moment.
    pub store: Store,
    pieces: mpsc::Sender<SnapshotPiece>,
    packer: Packer,
    lines: u64,
}

impl Walk {
    pub const fn new(part: Part, store: Store, pieces: mpsc::Sender<SnapshotPiece>) -> Self {
        Self { part, store, pieces, packer: Packer::new(), lines: 0 }
    }

    /// Gives all of the shard's history.
    pub async fn all(&mut self, checkpoint: Checkpoint) -> Result<(), Stopped> {
        let Part { shard, shards } = self.part;
        let begin = Begin {
            format: Begin::FORMAT,
            shard: shard.0,
            shards: shards.first(),
            at: Timestamp::now(),
            checkpoint,
        };
        self.say(&Line::Begin(begin)).await?;
        let mut after = None;
        loop {
            let rooms = self.store.rooms_after(after.as_ref()).await?;
            let Some((last, _)) = rooms.last() else { break };
            after = Some(last.clone());
            for (room, state) in rooms {
                if self.part.has(&room) {
                    self.room(room, state).await?;
                }
            }
        }
        self.beside_rooms().await?;
        let lines = self.lines;
        self.say(&Line::End { lines }).await?;
        let rest = self.packer.rest().map_err(Stopped::Archive)?;
        self.give(rest.to_vec()).await
    }

    async fn room(&mut self, room: RoomSlug, state: RoomState) -> Result<(), Stopped> {
        self.say(&Line::Room { room: room.clone(), state: state.clone() }).await?;
        if state.erased {
            // What the database has of it goes just now.
            return Ok(());
        }
        let edition = state.edition(&room);
        for first in (state.first..=state.count).step_by(ROWS as usize) {
            self.rows(edition, first).await?;
        }
        let mut from = 0;
        loop {
            let changes = self.store.changes(edition, from..u64::MAX, CHANGES).await?;
            let Some(last) = changes.last() else { break };
            from = last.seq + 1;
            let changes = changes.into_iter().filter(|change| change.counts(state.expired));
            self.say_all(changes.map(Line::Change)).await?;
        }
        let mut last = None;
        loop {
            let texts = self.store.texts_behind(edition, last.as_ref()).await?;
            if texts.is_empty() {
                return Ok(());
            }
            last = texts.last().cloned();
            self.say_all(texts.into_iter().map(Line::Text)).await?;
        }
    }

    async fn rows(&mut self, edition: Edition<'_>, first: u64) -> Result<(), Stopped> {
        let rows = self.store.numbered(edition, first..first + ROWS).await?;
        let has_reactions = rows.iter().any(|(_, kept)| !kept.given.is_empty());
        self.say_all(rows.into_iter().map(|(number, kept)| Line::Row { number, kept })).await?;
        if !has_reactions {
            return Ok(());
        }
        let given = self.store.given(edition, first..first + ROWS).await?;
        let lines = given.into_values().flatten().map(|(given, mark)| Line::Reaction {
            number: mark.place.number,
            tag: mark.tag,
            user: mark.user,
            given,
        });
        self.say_all(lines).await
    }

    async fn beside_rooms(&mut self) -> Result<(), Stopped> {
        let mut behind = 0;
        while let asides = self.store.kept_asides_behind(self.part, behind).await?
            && let Some(last) = asides.last()
        {
            behind = last.entry.seq;
            self.say_all(asides.into_iter().map(Line::Aside)).await?;
        }
        behind = 0;
        while let entries = self.store.to_erase_behind(self.part, behind).await?
            && let Some(last) = entries.last()
        {
            behind = last.seq;
            self.say_all(entries.into_iter().map(Line::Erase)).await?;
        }
        behind = 0;
        while let ended = self.store.ended_behind(self.part, behind).await?
            && let Some(last) = ended.last()
        {
            behind = last.seq;
            self.say_all(ended.into_iter().map(Line::Ended)).await?;
        }
        behind = 0;
        while let expired = self.store.expired_behind(self.part, behind).await?
            && let Some(last) = expired.last()
        {
            behind = last.expired.seq;
            self.say_all(expired.into_iter().map(|one| Line::Expired(one.expired))).await?;
        }
        Ok(())
    }

    async fn say_all(&mut self, lines: impl Iterator<Item = Line>) -> Result<(), Stopped> {
        for line in lines {
            self.say(&line).await?;
        }
        Ok(())
    }

    async fn say(&mut self, line: &Line) -> Result<(), Stopped> {
        self.lines += 1;
        match self.packer.push(line).map_err(Stopped::Archive)? {
            Some(piece) => self.give(piece.to_vec()).await,
            None => Ok(()),
        }
    }

    async fn give(&self, piece: Vec<u8>) -> Result<(), Stopped> {
        self.pieces.send(SnapshotPiece::Lines(piece)).await.map_err(|_| Stopped::Unwanted)
    }
}
