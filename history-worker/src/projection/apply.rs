//! Applying a batch: events become rows, or change rows, as `protocol::view::fold` says.

use std::collections::HashMap;

use broker::Record;
use protocol::event::Unreadable;
use protocol::view::{SealedRow, What};
use protocol::{Clues, Event, KeepDays, RoomSlug, SealedStored, Target, limits};

use super::{
    Aside, Batch, Change, Ended, Entry, Expired, Given, GivenAt, Ignored, Kept, Known, LogEntry, Mark, Place,
    Reason, RoomState, Sent, SentKey, Text,
};

/// Reactions that one message may hold, each person's by itself. More are ignored.
pub const REACTIONS_MAX: u64 = 2_000;

/// Numbers the events of a batch and applies its changes, in the order of the log, after what is known.
pub fn project(part_of_log: &[Record], entries: &[Entry], known: &Known) -> Batch {
    let mut projecting = Projecting { known, batch: Batch::default(), sent: HashMap::new() };
    for (record, entry) in part_of_log.iter().zip(entries) {
        match entry {
            Entry::Aside(aside) => projecting.batch.asides.push(aside.clone()),
            Entry::Event { room, event } => {
                if let Err(reason) = projecting.take(room, event) {
                    projecting.batch.asides.push(Aside::of(record, reason));
                }
            }
            Entry::Unreadable { room, event, aside } => {
                // Of a room that is not there, its own reason says more.
                let _ = projecting.take(room, event);
                if !projecting.is_erased(room, &record.payload) {
                    projecting.batch.asides.push(aside.clone());
                }
            }
        }
    }
    projecting.batch
}

struct Projecting<'a> {
    known: &'a Known,
    batch: Batch,
    /// Ids of this batch.
    sent: HashMap<SentKey, Sent>,
}

impl Projecting<'_> {
    fn take(&mut self, room: &RoomSlug, stored: &SealedStored) -> Result<(), Reason> {
        if self.room(room).is_some_and(|state| state.erased) {
            self.batch.ignored.push((stored.seq, Ignored::RoomErased));
            return Ok(());
        }
        if stored.event.ends_room() {
            self.end(room, stored);
            return Ok(());
        }
        match (SealedRow::of(stored), stored.event.target()) {
            (Some(row), _) => self.add(room, stored, row),
            (None, Some(target)) => self.change(room, stored, target),
            (None, None) => Ok(()),
        }
    }

    fn add(&mut self, room: &RoomSlug, stored: &SealedStored, row: SealedRow) -> Result<(), Reason> {
        let key = SentKey::of(room, &stored.event);
        if let Some(first) = self.sent(&key) {
            self.batch.duplicates += 1;
            if matches!(stored.event, Event::Message { .. }) {
                self.text(Some(&Place::new(room, first.number)), first.seq, LogEntry::of(room, stored));
            }
            return Ok(());
        }
        let mut state = state_after(self.room(room), stored)?;
        let place = Place::new(room, state.count);
        let mut kept = Kept { row, given: Vec::new(), before: 0, hash: None };
        if kept.is_message() {
            kept.before = std::mem::replace(&mut state.last_message, state.count);
        }
        self.sent.insert(key, Sent { number: state.count, seq: stored.seq });
        if let Event::Retention { keep, .. } = stored.event {
            self.batch.retained.insert(room.clone(), keep);
        }
        self.batch.rooms.insert(room.clone(), state);
        self.batch.rows.insert(place, kept);
        Ok(())
    }

    /// The room was erased. What was before in it may be gone from the log already.
    fn end(&mut self, room: &RoomSlug, stored: &SealedStored) {
        let creator = self.room(room).map_or(stored.event.author(), |state| state.creator);
        self.batch.rooms.insert(room.clone(), RoomState { erased: true, ..RoomState::new(creator) });
        self.batch.retained.insert(room.clone(), KeepDays::FOREVER);
        self.batch.ended.push(Ended { room: room.clone(), seq: stored.seq, id: stored.event.id() });
    }

    fn change(&mut self, room: &RoomSlug, stored: &SealedStored, target: Target) -> Result<(), Reason> {
        let Some(state) = self.room(room) else { return Err(Reason::Unreadable(Unreadable::NoRoom)) };
        if let Event::Expired { keep, .. } = stored.event {
            self.expire(room, stored, (target, keep));
            return Ok(());
        }
        if target.seq <= state.expired {
            if stored.event.body().is_some() {
                // It brings a text of what is gone.
                self.batch.erase.insert(stored.seq, LogEntry::of(room, stored));
            }
            self.batch.ignored.push((stored.seq, Ignored::Expired));
            return Ok(());
        }
        let sent = self.sent(&SentKey::of_target(room, target));
        let place = sent.map(|sent| Place::new(room, sent.number));
        // A copy of a message is the message itself, whatever its sequence.
        let seq = sent.map_or(target.seq, |sent| sent.seq);
        let outcome = match &stored.event {
            Event::Edited { .. } => {
                self.text(place.as_ref(), seq, LogEntry::of(room, stored));
                self.edit(place.as_ref(), stored)
            }
            Event::Deleted { hash, .. } => self.delete(place.as_ref(), hash).map(|()| {
                self.erase(room, target);
                self.erase(room, Target { seq, ..target });
            }),
            _ => self.react(place.as_ref(), stored),
        };
        match outcome {
            Ok(()) => {
                let number = sent.map_or(0, |sent| sent.number);
                self.batch.changes.extend(Change::of(room, stored, number));
            }
            Err(ignored) => self.batch.ignored.push((stored.seq, ignored)),
        }
        Ok(())
    }

    /// All up to the target is gone. Told twice, or of something that went before, it changes nothing.
    fn expire(&mut self, room: &RoomSlug, stored: &SealedStored, (target, keep): (Target, KeepDays)) {
        let Some(mut state) = self.room(room).cloned() else { return };
        state.keep = keep;
        state.expired = state.expired.max(target.seq);
        state.first = self.first_behind(room, &state, target);
        if state.last_message < state.first {
            state.last_message = 0;
        }
        if state.first > state.count {
            state.last_seq = 0;
        }
        let (seq, id, upto) = (stored.seq, stored.event.id(), state.expired);
        self.batch.expired.push(Expired { room: room.clone(), seq, id, upto });
        self.batch.retained.insert(room.clone(), keep);
        self.batch.rooms.insert(room.clone(), state);
        self.batch.changes.extend(Change::of(room, stored, 0));
    }

    /// The number of the first row that has not expired. The log may have lost the target already, with what was before it.
    fn first_behind(&mut self, room: &RoomSlug, state: &RoomState, target: Target) -> u64 {
        let known = self.sent(&SentKey::of_target(room, target)).filter(|sent| sent.seq == state.expired);
        if let Some(known) = known {
            return known.number + 1;
        }
        let mut number = state.first;
        while number <= state.count {
            let place = Place::new(room, number);
            match self.kept(&place) {
                Some(kept) if kept.row.seq <= state.expired => number += 1,
                Some(_) => break,
                None => {
                    self.batch.unknown.insert(place);
                    break;
                }
            }
        }
        number
    }

    fn edit(&mut self, place: Option<&Place>, stored: &SealedStored) -> Result<(), Ignored> {
        let kept = self.message(place)?;
        let (What::Message(content), Some(body)) = (&mut kept.row.what, stored.event.body()) else {
            return Err(Ignored::Missing);
        };
        if kept.row.author != stored.event.author() {
            return Err(Ignored::NotTheAuthor);
        }
        content.body = body.clone();
        content.edited_at = Some(stored.at);
        Ok(())
    }

    /// A message whose entry was gone before it could be read has no row; its deletion is an event all the same.
    fn delete(&mut self, place: Option<&Place>, hash: &str) -> Result<(), Ignored> {
        let Some(place) = place else { return Ok(()) };
        let kept = self.message(Some(place))?;
        kept.row.what = What::Erased;
        kept.given.clear();
        kept.hash = Some(hash.to_owned());
        self.batch.marks.retain(|mark, _| mark.place != *place);
        self.batch.cleared.insert(place.clone());
        self.find_last_message(&place.room);
        Ok(())
    }

    fn react(&mut self, place: Option<&Place>, stored: &SealedStored) -> Result<(), Ignored> {
        let Event::Reacted { author, reaction, on, .. } = &stored.event else { return Ok(()) };
        let is_full = self.message(place)?.reactions() >= REACTIONS_MAX;
        let Some(place) = place.cloned() else { return Err(Ignored::Missing) };
        let mark = Mark { place, tag: reaction.tag, user: *author };
        if self.is_given(&mark) == *on {
            return Ok(());
        }
        let kept = self.message(Some(&mark.place))?;
        let known = kept.given.iter().position(|given| given.tag == reaction.tag);
        match (known, on) {
            (_, true) if is_full => return Err(Ignored::Full),
            (Some(known), true) => kept.given[known].count += 1,
            (None, true) if kept.given.len() >= limits::REACTIONS_SHOWN_MAX => return Err(Ignored::Full),
            (None, true) => kept.given.push(Given { tag: reaction.tag, count: 1 }),
            (Some(known), false) if kept.given[known].count > 1 => kept.given[known].count -= 1,
            (Some(known), false) => drop(kept.given.remove(known)),
            (None, false) => {}
        }
        let text = &reaction.text;
        self.batch.marks.insert(mark, on.then(|| GivenAt { seq: stored.seq, text: text.clone() }));
        Ok(())
    }

    /// Notes where the log holds a text of a message; of an erased one it must go at once.
    fn text(&mut self, place: Option<&Place>, message: u64, entry: LogEntry) {
        if place.and_then(|place| self.kept(place)).is_some_and(Kept::is_erased) {
            self.batch.erase.insert(entry.seq, entry);
        } else {
            self.batch.texts.push(Text { message, entry });
        }
    }

    /// The log must lose the message at this place, and every text that it had.
    fn erase(&mut self, room: &RoomSlug, target: Target) {
        let is_of = |text: &Text| text.message == target.seq && text.entry.room == *room;
        let (here, others) = std::mem::take(&mut self.batch.texts).into_iter().partition(is_of);
        self.batch.texts = others;
        let here: Vec<Text> = here;
        let known = self.known.texts.iter().filter(|text| is_of(text)).cloned();
        let texts = here.into_iter().chain(known).map(|text| text.entry);
        let all = texts.chain([LogEntry::of_target(room, target)]);
        self.batch.erase.extend(all.map(|entry| (entry.seq, entry)));
        self.batch.forgotten.insert((room.clone(), target.seq));
    }

    /// When the room's last message is erased, the last one before it that is not takes its place.
    fn find_last_message(&mut self, room: &RoomSlug) {
        let Some(mut state) = self.room(room).cloned() else { return };
        while state.last_message > 0 {
            if state.last_message < state.first {
                state.last_message = 0;
                break;
            }
            let place = Place::new(room, state.last_message);
            match self.kept(&place) {
                Some(kept) if kept.is_message() => break,
                Some(kept) => state.last_message = kept.before,
                None => {
                    self.batch.unknown.insert(place);
                    break;
                }
            }
        }
        self.batch.rooms.insert(room.clone(), state);
    }

    /// Whether bytes that can't be read are of what was erased before: nothing is kept of it.
    fn is_erased(&self, room: &RoomSlug, payload: &[u8]) -> bool {
        let Some(state) = self.room(room) else { return false };
        state.erased || Clues::of(payload).author.is_some_and(|author| state.erased_people.contains(&author))
    }

    fn room(&self, room: &RoomSlug) -> Option<&RoomState> {
        self.batch.rooms.get(room).or_else(|| self.known.rooms.get(room))
    }

    /// Where the event with an id is. What has expired was never there.
    fn sent(&self, key: &SentKey) -> Option<Sent> {
        let first = self.room(&key.room).map_or(1, |state| state.first);
        let sent = self.sent.get(key).or_else(|| self.known.sent.get(key)).copied();
        sent.filter(|sent| sent.number >= first)
    }

    fn is_given(&self, mark: &Mark) -> bool {
        match self.batch.marks.get(mark) {
            Some(given) => given.is_some(),
            None => self.known.marks.contains(mark),
        }
    }

    fn kept(&self, place: &Place) -> Option<&Kept> {
        let here = self.batch.rows.get(place).or_else(|| self.batch.changed.get(place));
        here.or_else(|| self.known.kept.get(place))
    }

    /// The message at a place, to be changed.
    fn message(&mut self, place: Option<&Place>) -> Result<&mut Kept, Ignored> {
        let place = place.ok_or(Ignored::Missing)?;
        match self.kept(place) {
            Some(kept) if kept.is_erased() => return Err(Ignored::Erased),
            Some(kept) if kept.is_message() => {}
            _ => return Err(Ignored::Missing),
        }
        if self.batch.rows.contains_key(place) {
            return self.batch.rows.get_mut(place).ok_or(Ignored::Missing);
        }
        if !self.batch.changed.contains_key(place)
            && let Some(kept) = self.known.kept.get(place)
        {
            self.batch.changed.insert(place.clone(), kept.clone());
        }
        self.batch.changed.get_mut(place).ok_or(Ignored::Missing)
    }
}

/// The room as it is after the event, if the event can happen in it.
fn state_after(before: Option<&RoomState>, event: &SealedStored) -> Result<RoomState, Reason> {
    let mut state = match (before, &event.event) {
        (None, Event::Created { author, .. }) => RoomState::new(*author),
        (None, _) => return Err(Reason::Unreadable(Unreadable::NoRoom)),
        (Some(_), Event::Created { .. }) => return Err(Reason::RoomExists),
        (Some(state), _) => state.clone(),
    };
    match event.event {
        Event::UserErased { author, .. } => state.erased_people.push(author),
        Event::Retention { keep, .. } => state.keep = keep,
        _ => {}
    }
    state.count += 1;
    state.last_seq = event.seq;
    Ok(state)
}
