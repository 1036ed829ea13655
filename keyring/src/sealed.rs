//! Texts into boxes and out of them. Everything behind this module has texts in the open; log, broker and history worker have boxes.
//!
//! What is in a box is the text itself, which never has a zero byte: one that begins with it is of a later format.

use crate::{
    Error,
    keys::{Keyring, Opener, Texts},
};
use protocol::{
    Body, Event, MessageId, Reaction, RoomSlug, SealedEvent, SealedStored, SealedText, StoredEvent, Target,
    Text, UserId,
    event::SealedReaction,
    keys::Holder,
    state::Room,
    view::{Content, Reactors, Row, SealedRow, What},
};
use sealing::{BodyKey, Kind, Label};
use std::collections::HashMap;

/// Seals an event of its author: the same event gives the same bytes.
///
/// # Errors
/// [`Error::NoKey`], or when the broker can't be asked for the keys.
pub async fn seal(keyring: &Keyring, room: &RoomSlug, event: &Event) -> Result<SealedEvent, Error> {
    let (id, author) = (event.id(), event.author());
    Ok(match event {
        Event::Created { name, .. } => {
            let name = text(keyring, (room, author), Label { kind: Kind::Created, id, target: None }, name);
            Event::Created { id, author, name: name.await? }
        }
        Event::Joined { .. } => Event::Joined { id, author },
        Event::Left { .. } => Event::Left { id, author },
        Event::Message { body, .. } => {
            let label = Label { kind: Kind::Message, id, target: None };
            let body = text(keyring, (room, author), label, body.as_str());
            Event::Message { id, author, body: body.await? }
        }
        Event::Edited { target, body, .. } => {
            let label = Label { kind: Kind::Edited, id, target: Some(target.id) };
            Event::Edited {
                id,
                author,
                target: *target,
                body: text(keyring, (room, author), label, body.as_str()).await?,
            }
        }
        Event::Deleted { target, of, hash, .. } => {
            Event::Deleted { id, author, target: *target, of: *of, hash: hash.clone() }
        }
        Event::Reacted { target, reaction, on, .. } => {
            let reaction = seal_reaction(keyring, room, (id, author, *target), reaction).await?;
            Event::Reacted { id, author, target: *target, reaction, on: *on }
        }
        Event::Retention { keep, .. } => Event::Retention { id, author, keep: *keep },
        Event::Expired { target, of, keep, .. } => {
            Event::Expired { id, author, target: *target, of: *of, keep: *keep }
        }
        Event::UserErased { .. } => Event::UserErased { id, author },
        Event::RoomErased { .. } => Event::RoomErased { id, author },
        Event::Unreadable { .. } => Event::Unreadable { id, author },
    })
}

async fn seal_reaction(
    keyring: &Keyring,
    room: &RoomSlug,
    (id, author, target): (MessageId, UserId, Target),
    reaction: &Reaction,
) -> Result<SealedReaction, Error> {
    let label = Label { kind: Kind::Reacted, id, target: Some(target.id) };
    let text = text(keyring, (room, author), label, reaction.as_str()).await?;
    let tag = sealing::reaction_tag(&keyring.room_key(room).await?, target.id, reaction.as_str());
    Ok(SealedReaction { tag, author, text })
}

async fn text(
    keyring: &Keyring,
    (room, author): (&RoomSlug, UserId),
    label: Label,
    plain: &str,
) -> Result<SealedText, Error> {
    let key = keyring.sealer(room, author).await?;
    Ok(SealedText { by: label.id, sealed: key.seal(&label, plain.as_bytes()) })
}

/// Opens events of a room. A reaction that can't be shown is left out. Of whom they say that they were erased, nothing is opened, were
/// this the first that is heard of it.
///
/// # Errors
/// When the broker can't be asked for the keys.
pub async fn events(
    keyring: &Keyring,
    room: &RoomSlug,
    events: Vec<SealedStored>,
) -> Result<Vec<StoredEvent>, Error> {
    for stored in &events {
        if let Event::UserErased { author, .. } = stored.event {
            keyring.forget(&Holder::User(author));
        }
    }
    let texts = events.iter().filter_map(|stored| {
        let (author, text) = (stored.event.author(), text_of(&stored.event)?);
        Some(texts(room, author, text))
    });
    let opening = Opening::prepare(keyring, room, texts).await?;
    Ok(events.into_iter().filter_map(|stored| opening.stored(stored)).collect())
}

/// Opens rows of a room, like [`events`].
///
/// # Errors
/// When the broker can't be asked for the keys.
pub async fn rows(keyring: &Keyring, room: &RoomSlug, rows: Vec<SealedRow>) -> Result<Vec<Row>, Error> {
    for row in rows.iter().filter(|row| matches!(row.what, What::UserErased)) {
        keyring.forget(&Holder::User(row.author));
    }
    let texts = rows.iter().flat_map(|row| match &row.what {
        What::Created { name } => vec![texts(room, row.author, name)],
        What::Message(Content { body, reactions, .. }) => {
            let given =
                reactions.iter().map(|given| texts(room, given.reaction.author, &given.reaction.text));
            given.chain([texts(room, row.author, body)]).collect()
        }
        _ => Vec::new(),
    });
    let opening = Opening::prepare(keyring, room, texts.collect::<Vec<_>>()).await?;
    Ok(rows.into_iter().map(|row| opening.row(row)).collect())
}

/// Opens the names of rooms; one that can't be opened is called by its address.
///
/// # Errors
/// When the broker can't be asked for the keys.
pub async fn names(keyring: &Keyring, rooms: &[(RoomSlug, Room)]) -> Result<Vec<String>, Error> {
    let wanted = rooms.iter().map(|(slug, room)| texts(slug, room.creator, &room.name));
    let openers = keyring.openers(wanted).await?;
    let opened = rooms.iter().map(|(slug, room)| {
        let opening = Opening { keyring, room: slug, openers: openers.clone() };
        opening.name(room.creator, &room.name)
    });
    Ok(opened.collect())
}

/// Opens the name of one room.
///
/// # Errors
/// When the broker can't be asked for the keys.
pub async fn name(keyring: &Keyring, slug: &RoomSlug, room: &Room) -> Result<String, Error> {
    let openers = keyring.openers([texts(slug, room.creator, &room.name)]).await?;
    Ok(Opening { keyring, room: slug, openers }.name(room.creator, &room.name))
}

const fn text_of(event: &SealedEvent) -> Option<&SealedText> {
    match event {
        Event::Created { name, .. } => Some(name),
        Event::Message { body, .. } | Event::Edited { body, .. } => Some(body),
        Event::Reacted { reaction, .. } => Some(&reaction.text),
        Event::Joined { .. }
        | Event::Left { .. }
        | Event::Deleted { .. }
        | Event::Retention { .. }
        | Event::Expired { .. }
        | Event::UserErased { .. }
        | Event::RoomErased { .. }
        | Event::Unreadable { .. } => None,
    }
}

fn texts(room: &RoomSlug, author: UserId, text: &SealedText) -> Texts {
    Texts { room: room.clone(), author, generations: text.sealed.generations() }
}

/// Everything that opens some texts of a room.
struct Opening<'a> {
    keyring: &'a Keyring,
    room: &'a RoomSlug,
    openers: HashMap<Texts, Opener>,
}

/// Why a box was not opened.
enum Closed {
    Erased,
    Forged,
}

impl From<Closed> for Text {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Erased => Self::Erased,
            Closed::Forged => Self::Unopened,
        }
    }
}

impl<'a> Opening<'a> {
    async fn prepare(
        keyring: &'a Keyring,
        room: &'a RoomSlug,
        texts: impl IntoIterator<Item = Texts>,
    ) -> Result<Self, Error> {
        Ok(Self { keyring, room, openers: keyring.openers(texts).await? })
    }

    fn stored(&self, stored: SealedStored) -> Option<StoredEvent> {
        let SealedStored { seq, at, event } = stored;
        let event = match event {
            Event::Created { id, author, name } => {
                Event::Created { id, author, name: self.name(author, &name) }
            }
            Event::Joined { id, author } => Event::Joined { id, author },
            Event::Left { id, author } => Event::Left { id, author },
            Event::Message { id, author, body } => {
                Event::Message { id, author, body: self.body(id, author, &body) }
            }
            Event::Edited { id, author, target, body } => {
                Event::Edited { id, author, target, body: self.body(target.id, author, &body) }
            }
            Event::Deleted { id, author, target, of, hash } => {
                Event::Deleted { id, author, target, of, hash }
            }
            Event::Reacted { id, author, target, reaction, on } => {
                let reaction = self.reaction(target.id, &reaction)?;
                Event::Reacted { id, author, target, reaction, on }
            }
            Event::Retention { id, author, keep } => Event::Retention { id, author, keep },
            Event::Expired { id, author, target, of, keep } => {
                Event::Expired { id, author, target, of, keep }
            }
            Event::UserErased { id, author } => Event::UserErased { id, author },
            Event::RoomErased { id, author } => Event::RoomErased { id, author },
            Event::Unreadable { id, author } => Event::Unreadable { id, author },
        };
        Some(StoredEvent { seq, at, event })
    }

    fn row(&self, row: SealedRow) -> Row {
        let SealedRow { seq, at, id, author, what } = row;
        let what = match what {
            What::Created { name } => What::Created { name: self.name(author, &name) },
            What::Joined => What::Joined,
            What::Left => What::Left,
            What::Retention { keep } => What::Retention { keep },
            What::UserErased => What::UserErased,
            What::Erased => What::Erased,
            What::Unopened => What::Unopened,
            What::Unreadable => What::Unreadable,
            What::Message(Content { body, edited_at, reactions }) => {
                let reactions = reactions.into_iter().filter_map(|given| {
                    let reaction = self.reaction(id, &given.reaction)?;
                    Some(Reactors { reaction, count: given.count, by: given.by })
                });
                let reactions = reactions.collect();
                What::Message(Content { body: self.body(id, author, &body), edited_at, reactions })
            }
        };
        Row { seq, at, id, author, what }
    }

    /// A room's name; its address where that can't be had.
    fn name(&self, author: UserId, name: &SealedText) -> String {
        let label = Label { kind: Kind::Created, id: name.by, target: None };
        let opened =
            self.open(author, name, &label, |plain| (!plain.contains('\0')).then(|| plain.to_owned()));
        opened.unwrap_or_else(|_| self.room.to_string())
    }

    /// The text of a message, or of an edit of it.
    fn body(&self, message: MessageId, author: UserId, text: &SealedText) -> Text {
        let label = if text.by == message {
            Label { kind: Kind::Message, id: message, target: None }
        } else {
            Label { kind: Kind::Edited, id: text.by, target: Some(message) }
        };
        let opened = self.open(author, text, &label, |plain| Body::parse(plain).ok());
        opened.map_or_else(Text::from, Text::Plain)
    }

    fn reaction(&self, message: MessageId, reaction: &SealedReaction) -> Option<Reaction> {
        let label = Label { kind: Kind::Reacted, id: reaction.text.by, target: Some(message) };
        self.open(reaction.author, &reaction.text, &label, |plain| Reaction::parse(plain).ok()).ok()
    }

    fn open<T>(
        &self,
        author: UserId,
        text: &SealedText,
        label: &Label,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Closed> {
        let key = match self.openers.get(&texts(self.room, author, text)) {
            Some(Opener::Key(key)) => key,
            Some(Opener::Erased) => return Err(Closed::Erased),
            Some(Opener::Missing) | None => {
                self.keyring.alarm(self.room, label.id, "a key that it needs is not there");
                return Err(Closed::Forged);
            }
        };
        opened(key, text, label, read).ok_or_else(|| {
            self.keyring.alarm(self.room, label.id, "it was altered, or is not where it was written");
            Closed::Forged
        })
    }
}

fn opened<T>(
    key: &BodyKey,
    text: &SealedText,
    label: &Label,
    read: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let plain = key.open(label, &text.sealed).ok()?;
    read(std::str::from_utf8(&plain).ok()?)
}
