//! A room's rows from any interleaving of its events, and a receiver's view from any order of delivery.
#![no_main]

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use protocol::{
    Body, Event, MessageId, Reaction, StoredEvent, Target, Text, Timestamp, UserId,
    chain::{Link, place},
    limits,
    view::{Content, Row, What, fold},
};
use std::collections::HashSet;

#[derive(Debug, Arbitrary)]
struct Input {
    steps: Vec<Step>,
    /// Which places of the log are delivered, in which order.
    deliveries: Vec<u8>,
    /// What is done to which sequence, whether there is a message or not.
    strange: Vec<(Kind, u8)>,
}

#[derive(Debug, Arbitrary)]
struct Step {
    /// How far the room's next event lies behind the last one.
    gap: u8,
    author: u8,
    /// Which event of the room is changed.
    target: u8,
    what: Kind,
}

#[derive(Debug, Arbitrary)]
enum Kind {
    Joined,
    Left,
    UserErased,
    Message(u8),
    Edited(u8),
    Deleted,
    Reacted(u8, bool),
}

fuzz_target!(|input: Input| {
    let log = log(&input.steps);
    let rows = folded(&log);
    bounded(&rows, &log);
    erased_stays(&log);
    assert_eq!(folded(&without_what_is_erased(&log)), rows, "a fold of the log after its deletions");
    a_receiver_shows_a_prefix(&log, &input.deliveries);
    let strange: Vec<_> = (1..)
        .zip(&input.strange)
        .map(|(seq, (what, target))| strange(seq, what, u64::from(*target)))
        .collect();
    bounded(&folded(&strange), &strange);
});

fn stored(seq: u64, event: Event) -> StoredEvent {
    StoredEvent { seq, at: Timestamp::from_millis(seq.cast_signed()), event }
}

fn user(number: u8) -> UserId {
    format!("00000000-0000-7000-8000-0000000000{number:02x}").parse().expect("a UUID")
}

fn id(seq: u64) -> MessageId {
    format!("00000000-0000-7000-8000-{seq:012x}").parse().expect("a UUID")
}

/// A room's log as gateways write one: targets are messages that came before.
fn log(steps: &[Step]) -> Vec<StoredEvent> {
    let created = Event::Created { id: id(1), author: user(0), name: "Tea".into() };
    let mut log = vec![stored(1, created)];
    let mut messages: Vec<Target> = Vec::new();
    let mut seq = 1;
    for step in steps {
        seq += 1 + u64::from(step.gap);
        let (id, author) = (id(seq), user(step.author));
        let count = messages.len().max(1);
        let target = messages.get(usize::from(step.target) % count).copied();
        let target = match (&step.what, target) {
            (Kind::Edited(_) | Kind::Deleted | Kind::Reacted(..), None) => continue,
            (_, target) => target.unwrap_or(Target { id, author, seq }),
        };
        if matches!(step.what, Kind::Message(_)) {
            messages.push(Target { id, author, seq });
        }
        log.push(stored(seq, event((&step.what, target), id, author)));
    }
    log
}

fn event((what, target): (&Kind, Target), id: MessageId, author: UserId) -> Event {
    match *what {
        Kind::Joined => Event::Joined { id, author },
        Kind::Left => Event::Left { id, author },
        Kind::UserErased => Event::UserErased { id, author },
        Kind::Message(text) => Event::Message { id, author, body: body(text) },
        Kind::Edited(text) => Event::Edited { id, author, target, body: body(text) },
        Kind::Deleted => {
            let of = Timestamp::from_millis(target.seq.cast_signed());
            Event::Deleted { id, author, target, of, hash: String::new() }
        }
        Kind::Reacted(which, on) => {
            let reaction = char::from_u32(0x1F600 + u32::from(which % 64)).expect("an emoji");
            let reaction = Reaction::parse(&reaction.to_string()).expect("an emoji");
            Event::Reacted { id, author, target, reaction, on }
        }
    }
}

/// An event that changes whatever has that sequence.
fn strange(seq: u64, what: &Kind, target: u64) -> StoredEvent {
    let target = Target { id: id(target), author: user(0), seq: target };
    stored(seq, event((what, target), id(seq), user(0)))
}

fn body(number: u8) -> Text {
    Body::parse(&format!("text {number}")).expect("a text").into()
}

fn folded(log: &[StoredEvent]) -> Vec<Row> {
    let mut rows = Vec::new();
    log.iter().for_each(|event| fold(&mut rows, event));
    rows
}

/// Rows rise by sequence, none is there twice, none is longer than its limits, and only messages are erased.
fn bounded(rows: &[Row], log: &[StoredEvent]) {
    assert!(rows.is_sorted_by(|one, next| one.seq < next.seq), "{rows:?}");
    assert!(rows.len() <= log.len());
    for stored in log.iter().filter(|it| matches!(it.event, Event::Joined { .. } | Event::Left { .. })) {
        let place = rows.binary_search_by_key(&stored.seq, |row| row.seq);
        assert_eq!(place.ok().map(|place| &rows[place]), Row::of(stored).as_ref());
    }
    for row in rows {
        if let What::Message(content) = &row.what {
            content_is_bounded(content);
        }
    }
}

fn content_is_bounded(content: &Content) {
    let Text::Plain(body) = &content.body else { panic!("all texts were there") };
    fuzz::within_limits(body);
    assert!(content.reactions.len() <= limits::REACTIONS_SHOWN_MAX);
    let different: HashSet<_> = content.reactions.iter().map(|given| &given.reaction).collect();
    assert_eq!(different.len(), content.reactions.len());
    for given in &content.reactions {
        assert!(given.by.len() <= limits::PEOPLE_NAMED_MAX);
        assert!(given.count >= 1 && given.count >= given.by.len() as u64, "{given:?}");
        assert_eq!(given.by.iter().collect::<HashSet<_>>().len(), given.by.len());
    }
}

/// After a deletion nothing brings its message back.
fn erased_stays(log: &[StoredEvent]) {
    let mut rows = Vec::new();
    let mut erased = HashSet::new();
    for event in log {
        fold(&mut rows, event);
        if let Event::Deleted { target, .. } = &event.event {
            erased.insert(target.seq);
        }
        let shown = rows.iter().filter(|row| erased.contains(&row.seq));
        assert!(shown.map(|row| &row.what).all(|what| *what == What::Erased));
    }
}

/// The log as it is after each deletion has taken out every text that its message had.
fn without_what_is_erased(log: &[StoredEvent]) -> Vec<StoredEvent> {
    let deleted = log.iter().filter(|stored| matches!(stored.event, Event::Deleted { .. }));
    let erased: HashSet<u64> = deleted.filter_map(|stored| stored.event.target()).map(|it| it.seq).collect();
    let is_kept = |stored: &&StoredEvent| match &stored.event {
        Event::Message { .. } => !erased.contains(&stored.seq),
        Event::Edited { target, .. } => !erased.contains(&target.seq),
        _ => true,
    };
    log.iter().filter(is_kept).cloned().collect()
}

/// Whatever is delivered, lost or repeated, a receiver that asks [`place`] has the log's beginning without a hole.
fn a_receiver_shows_a_prefix(log: &[StoredEvent], deliveries: &[u8]) {
    let seqs: Vec<u64> = log.iter().map(|stored| stored.seq).collect();
    let mut seen: Vec<u64> = Vec::new();
    for delivery in deliveries {
        let number = usize::from(*delivery) % seqs.len();
        let (prev, seq) = (number.checked_sub(1).map_or(0, |before| seqs[before]), seqs[number]);
        let last = seen.last().copied().unwrap_or(0);
        match place(last, prev, seq) {
            Link::Seen => assert!(seen.contains(&seq)),
            Link::Next => seen.push(seq),
            Link::Hole => {
                seen.extend(seqs.iter().filter(|missed| (last + 1..=prev).contains(*missed)));
                seen.push(seq);
            }
        }
        assert!(seqs.starts_with(&seen), "{seen:?} of {seqs:?}");
    }
}
