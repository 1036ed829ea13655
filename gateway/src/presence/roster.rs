//! Who is present in one room, at this gateway and at all others. Pure: it is told what happens and what time it is, and says what
//! to publish and what to show.
//!
//! Each gateway owns the list of its own people and numbers its changes. Whoever finds a gap in the numbers asks for the whole
//! list; so what is lost on the way is repaired, and nobody needs to repeat long lists for safety.

use protocol::{
    UserId, limits,
    presence::{GatewayId, Note, PART_PEOPLE_MAX},
};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use tokio::time::Instant;

/// Changes are gathered this long before the other gateways are told.
const GATHER: Duration = Duration::from_millis(250);
/// Whoever has gone is present for this long, so that a reload or a change of gateways is not seen.
const GRACE: Duration = Duration::from_secs(3);
/// How often a quiet list says its version: the time for which a lost change goes unnoticed.
const STILL_EVERY: Duration = Duration::from_secs(20);
/// A whole list is said at most this often, whoever asks.
const WHOLE_EVERY: Duration = Duration::from_millis(500);
/// Members are told of changes at most this often …
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// … and this often where so many are present that names can't all be shown.
const SHOW_EVERY_LARGE: Duration = Duration::from_secs(3);
/// Other gateways that are kept account of, at most.
const GATEWAYS_MAX: usize = 1_024;
/// People that another gateway may have in a room, at most.
const PEOPLE_MAX: usize = 100_000;

#[derive(Debug)]
pub struct Roster {
    me: GatewayId,
    /// Sockets of each person here.
    sockets: HashMap<UserId, u32>,
    /// Since when somebody has no socket here any more, and is not yet said to have gone.
    leaving: HashMap<UserId, Instant>,
    announced: BTreeSet<UserId>,
    version: u64,
    /// Whether anybody was ever announced: only then has somebody else a list of this gateway's that may be wrong.
    has_announced: bool,
    others: HashMap<GatewayId, Other>,
    asks: Vec<Note>,
    announce_at: Option<Instant>,
    whole_at: Option<Instant>,
    whole_said: Option<Instant>,
    still_at: Instant,
    shown: BTreeSet<UserId>,
    show_at: Option<Instant>,
    shown_at: Option<Instant>,
}

/// What another gateway said.
#[derive(Debug, Default)]
struct Other {
    /// Since when it has nobody in the room; its people stay for [`GRACE`], since they may only have reloaded.
    gone: Option<Instant>,
    version: u64,
    people: BTreeSet<UserId>,
    /// Parts of a whole list that are not all here yet.
    parts: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    version: u64,
    next: u32,
    people: BTreeSet<UserId>,
}

/// What is to be shown to members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    pub count: u64,
    /// The first of them in an order of their own, at most [`limits::PEOPLE_NAMED_MAX`].
    pub present: Vec<UserId>,
    pub came: Vec<UserId>,
    pub went: Vec<UserId>,
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    pub publish: Vec<Note>,
    pub show: Option<Shown>,
}

impl Roster {
    /// `version` is one that this gateway never had in this room: the time in milliseconds is, however often the room is opened.
    pub fn new(me: GatewayId, version: u64, now: Instant) -> Self {
        Self {
            me,
            sockets: HashMap::new(),
            leaving: HashMap::new(),
            announced: BTreeSet::new(),
            version,
            has_announced: false,
            others: HashMap::new(),
            asks: vec![Note::Ask { gateway: me, of: None }],
            announce_at: None,
            whole_at: None,
            whole_said: None,
            still_at: now + STILL_EVERY,
            shown: BTreeSet::new(),
            show_at: None,
            shown_at: None,
        }
    }

    pub fn enter(&mut self, user: UserId, now: Instant) {
        *self.sockets.entry(user).or_default() += 1;
        self.leaving.remove(&user);
        if !self.announced.contains(&user) {
            self.changed_here(now);
        }
    }

    pub fn leave(&mut self, user: UserId, now: Instant) {
        let Some(count) = self.sockets.get_mut(&user) else { return };
        *count -= 1;
        if *count == 0 {
            self.sockets.remove(&user);
            self.leaving.insert(user, now);
        }
    }

    fn changed_here(&mut self, now: Instant) {
        self.announce_at.get_or_insert(now + GATHER);
        self.show_soon(now);
    }

    fn show_soon(&mut self, now: Instant) {
        let every = if self.shown.len() > limits::PEOPLE_NAMED_MAX { SHOW_EVERY_LARGE } else { SHOW_EVERY };
        let soonest = now + GATHER;
        let at = self.shown_at.map_or(soonest, |shown| soonest.max(shown + every));
        self.show_at.get_or_insert(at);
    }

    /// Takes what another gateway said.
    pub fn hear(&mut self, note: Note, now: Instant) {
        let gateway = note.gateway();
        if gateway == self.me || (self.others.len() >= GATEWAYS_MAX && !self.others.contains_key(&gateway)) {
            return;
        }
        match note {
            Note::Ask { of, .. } => {
                if of.is_none_or(|of| of == self.me) && self.has_announced {
                    let soonest = self.whole_said.map_or(now, |said| now.max(said + WHOLE_EVERY));
                    self.whole_at.get_or_insert(soonest);
                }
            }
            Note::Gone { .. } => {
                if let Some(other) = self.others.get_mut(&gateway) {
                    other.gone = Some(now);
                }
            }
            Note::Still { version, .. } => {
                if self.others.entry(gateway).or_default().version != version {
                    self.ask(gateway);
                }
            }
            Note::Changed { version, came, went, .. } => {
                self.hear_change(gateway, version, (came, went), now)
            }
            Note::Whole { version, part, parts, people, .. } => {
                let other = self.others.entry(gateway).or_default();
                if other.take_part(version, (part, parts), people) {
                    other.gone = None;
                    self.show_soon(now);
                }
            }
            Note::Typing { .. } => {}
        }
    }

    fn hear_change(
        &mut self,
        gateway: GatewayId,
        version: u64,
        (came, went): (Vec<UserId>, Vec<UserId>),
        now: Instant,
    ) {
        let other = self.others.entry(gateway).or_default();
        if version <= other.version {
            return;
        }
        if version != other.version + 1 || other.people.len() + came.len() > PEOPLE_MAX {
            self.ask(gateway);
            return;
        }
        other.version = version;
        other.people.extend(came);
        for user in &went {
            other.people.remove(user);
        }
        self.show_soon(now);
    }

    fn ask(&mut self, of: GatewayId) {
        let ask = Note::Ask { gateway: self.me, of: Some(of) };
        if !self.asks.contains(&ask) {
            self.asks.push(ask);
        }
    }

    /// Something may have been missed: everybody is asked again, and told which list of this gateway's is the last, since they
    /// may have asked for it.
    pub fn ask_all(&mut self) {
        self.asks = vec![Note::Ask { gateway: self.me, of: None }];
        if self.has_announced {
            self.asks.push(Note::Still { gateway: self.me, version: self.version });
        }
    }

    /// A gateway has gone, with all who were there.
    pub fn forget(&mut self, gateway: GatewayId, now: Instant) {
        if self.others.remove(&gateway).is_some_and(|other| !other.people.is_empty()) {
            self.show_soon(now);
        }
    }

    /// The gateways whose people count.
    pub fn others(&self) -> Vec<GatewayId> {
        self.others.keys().copied().collect()
    }

    /// When something is to be done next, if nothing happens before.
    pub fn next_due(&self) -> Instant {
        let gone = self.others.values().filter_map(|other| other.gone.as_ref());
        let goes = self.leaving.values().chain(gone).min().map(|since| *since + GRACE);
        let soonest = [self.announce_at, self.whole_at, self.show_at, goes].into_iter().flatten().min();
        soonest.map_or(self.still_at, |soonest| soonest.min(self.still_at))
    }

    /// What is due now.
    pub fn due(&mut self, now: Instant) -> Due {
        let mut publish = std::mem::take(&mut self.asks);
        self.see_off(now);
        if take_due(&mut self.announce_at, now) {
            publish.extend(self.change());
        }
        if take_due(&mut self.whole_at, now) {
            self.whole_said = Some(now);
            publish.extend(self.whole());
        }
        if self.still_at <= now {
            self.still_at = now + STILL_EVERY;
            if self.has_announced {
                publish.push(Note::Still { gateway: self.me, version: self.version });
            }
        }
        let show = if take_due(&mut self.show_at, now) { self.show(now) } else { None };
        Due { publish, show }
    }

    /// Those whose grace is over have gone.
    fn see_off(&mut self, now: Instant) {
        let is_over = |gone: Option<Instant>| gone.is_some_and(|since| since + GRACE <= now);
        let gone = self.others.iter().filter(|(_, other)| is_over(other.gone)).map(|(gateway, _)| *gateway);
        for gateway in gone.collect::<Vec<_>>() {
            self.forget(gateway, now);
        }
        let before = self.leaving.len();
        self.leaving.retain(|_, since| *since + GRACE > now);
        if self.leaving.len() < before {
            self.announce_at = Some(now);
            self.show_soon(now);
        }
    }

    fn here(&self) -> BTreeSet<UserId> {
        self.sockets.keys().chain(self.leaving.keys()).copied().collect()
    }

    fn change(&mut self) -> Option<Note> {
        let here = self.here();
        let came: Vec<_> = here.difference(&self.announced).copied().collect();
        let went: Vec<_> = self.announced.difference(&here).copied().collect();
        if came.is_empty() && went.is_empty() {
            return None;
        }
        self.announced = here;
        self.version += 1;
        self.has_announced = true;
        // A list that is too long for one message is asked for in parts.
        if came.len() + went.len() > PART_PEOPLE_MAX {
            return Some(Note::Still { gateway: self.me, version: self.version });
        }
        Some(Note::Changed { gateway: self.me, version: self.version, came, went })
    }

    fn whole(&self) -> Vec<Note> {
        let people: Vec<_> = self.announced.iter().copied().collect();
        let mut parts: Vec<&[UserId]> = people.chunks(PART_PEOPLE_MAX).collect();
        if parts.is_empty() {
            // That nobody is here any more is a list too.
            parts.push(&[]);
        }
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let (gateway, version) = (self.me, self.version);
        let notes = parts.into_iter().zip(0_u32..).map(|(people, part)| Note::Whole {
            gateway,
            version,
            part,
            parts: count,
            people: people.to_vec(),
        });
        notes.collect()
    }

    fn show(&mut self, now: Instant) -> Option<Shown> {
        let mut present = self.here();
        self.others.values().for_each(|other| present.extend(&other.people));
        if present == self.shown {
            return None;
        }
        let named = |people: &mut dyn Iterator<Item = &UserId>| {
            people.take(limits::PEOPLE_NAMED_MAX).copied().collect::<Vec<_>>()
        };
        let shown = Shown {
            count: present.len() as u64,
            came: named(&mut present.difference(&self.shown)),
            went: named(&mut self.shown.difference(&present)),
            present: named(&mut present.iter()),
        };
        self.shown = present;
        self.shown_at = Some(now);
        Some(shown)
    }
}

impl Other {
    /// Takes a part of a whole list, and tells whether it is whole now.
    fn take_part(&mut self, version: u64, (part, parts): (u32, u32), people: Vec<UserId>) -> bool {
        if version < self.version {
            return false;
        }
        if part == 0 {
            self.parts = Some(Parts { version, next: 0, people: BTreeSet::new() });
        }
        let Some(taking) =
            self.parts.as_mut().filter(|taking| taking.version == version && taking.next == part)
        else {
            self.parts = None;
            return false;
        };
        taking.people.extend(people);
        taking.next += 1;
        if taking.people.len() > PEOPLE_MAX {
            self.parts = None;
            return false;
        }
        if taking.next < parts {
            return false;
        }
        self.version = version;
        self.people = self.parts.take().map(|taking| taking.people).unwrap_or_default();
        true
    }
}

fn take_due(at: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = at.is_some_and(|at| at <= now);
    if is_due {
        *at = None;
    }
    is_due
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
