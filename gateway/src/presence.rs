//! Who is present in a room, and who is writing: soft state of the gateways, never stored.
//!
//! [`roster`] is the state machine of one room, [`told`] what its members are told, [`gateways`] knows which gateways live, and the
//! task here moves a room's roster by what its sockets and the other gateways say.

pub mod gateways;
mod roster;
pub mod told;

use crate::{room::Room, state::Gateway};
use broker::Hearing;
use futures_util::future::join_all;
use protocol::{
    Timestamp, UserId,
    frame::{Person, PresenceFrame},
    presence::Note,
};
use roster::{Roster, Shown};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use told::Told;

/// People of a room whose writing is shown within a second, at most.
const TYPING_PER_SECOND_MAX: usize = 5;
const SECOND: Duration = Duration::from_secs(1);

/// The presence of one open room.
pub struct Presence {
    roster: Mutex<Roster>,
    /// What the members are told.
    pub told: Told,
    /// Who at this gateway has begun to write.
    writing: Mutex<Vec<UserId>>,
    /// Rings when one of the two has something to do.
    news: Notify,
}

/// A socket among those present; dropping it counts it out.
pub struct Present {
    room: Arc<Room>,
    user: UserId,
}

impl Presence {
    pub fn new(gateway: &Gateway) -> Self {
        let version = u64::try_from(Timestamp::now().as_millis()).unwrap_or(1);
        Self {
            roster: Mutex::new(Roster::new(gateway.gateways.me, version, Instant::now())),
            told: Told::default(),
            writing: Mutex::default(),
            news: Notify::new(),
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, Vec<UserId>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody at this gateway is writing. Beyond what can be shown within a second, nobody is told.
    pub fn types(&self, user: UserId) {
        let mut writing = self.writing();
        if writing.len() < TYPING_PER_SECOND_MAX && !writing.contains(&user) {
            writing.push(user);
            self.news.notify_one();
        }
    }
}

impl Present {
    pub fn enter(room: Arc<Room>, user: UserId) -> Self {
        room.presence.roster().enter(user, Instant::now());
        room.presence.news.notify_one();
        Self { room, user }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.room.presence.roster().leave(self.user, Instant::now());
        self.room.presence.news.notify_one();
    }
}

/// Starts the presence of an open room; it ends when `closed` comes.
pub fn start(gateway: &Arc<Gateway>, room: &Arc<Room>, closed: CancellationToken) {
    let task = Task {
        gateway: Arc::clone(gateway),
        presence: Arc::clone(&room.presence),
        room: Arc::downgrade(room),
        subject: room.shard.presence(&room.slug),
        second_began: Instant::now(),
        typed: 0,
    };
    tokio::spawn(task.run(closed));
}

/// The next note; never ready while nobody is listened to.
async fn next_note(hearing: &mut Option<Hearing<Note>>) -> Option<Note> {
    match hearing {
        Some(hearing) => hearing.next().await,
        None => std::future::pending().await,
    }
}

struct Task {
    gateway: Arc<Gateway>,
    presence: Arc<Presence>,
    /// Weak, so that the room closes when its last socket is gone.
    room: Weak<Room>,
    subject: String,
    /// Since when people who write are counted, and how many were shown since.
    second_began: Instant,
    typed: usize,
}

impl Task {
    /// Inputs: the room's end, the first other gateway, what other gateways say, what sockets here do, gateways that died or returned, a new
    /// connection, the clock. All are signals, or a queue that keeps what was not taken, so each branch may be cancelled.
    ///
    /// A gateway that is alone listens to nobody: a subscription for each room is a good part of what an idle room costs.
    async fn run(mut self, closed: CancellationToken) {
        let mut company = self.gateway.gateways.company();
        let mut hearing: Option<Hearing<Note>> = None;
        let mut deaths = self.gateway.gateways.deaths();
        let mut returns = self.gateway.gateways.returns();
        let mut connection = self.gateway.broker.connection();
        connection.mark_unchanged();
        loop {
            let due_at = self.presence.roster().next_due();
            tokio::select! {
                biased;
                () = closed.cancelled() => break,
                has_met = async { company.wait_for(|company| *company).await.is_ok() }, if hearing.is_none() => {
                    if !has_met {
                        break;
                    }
                    match self.gateway.broker.hear(self.subject.clone()).await {
                        Ok(heard) => hearing = Some(heard),
                        Err(_) => break,
                    }
                    self.presence.roster().ask_all();
                }
                note = next_note(&mut hearing) => match note {
                    Some(note) => Box::pin(self.hear(note)).await,
                    None => break,
                },
                () = self.presence.news.notified() => {}
                changed = deaths.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.forget_the_dead();
                }
                changed = returns.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.presence.roster().ask_all();
                }
                changed = connection.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.presence.roster().ask_all();
                }
                () = tokio::time::sleep_until(due_at) => {}
            }
            // Boxed, like the others' words: a quiet room takes no memory for what it seldom does.
            Box::pin(self.act()).await;
        }
        self.tell(&Note::Gone { gateway: self.gateway.gateways.me }).await;
    }

    async fn hear(&mut self, note: Note) {
        let gateways = &self.gateway.gateways;
        if note.gateway() == gateways.me {
            return;
        }
        let _ = gateways.hear(note.gateway(), Instant::now());
        if let Note::Typing { user, .. } = note {
            self.show_typing(user).await;
        } else {
            self.presence.roster().hear(note, Instant::now());
        }
    }

    fn forget_the_dead(&self) {
        let mut roster = self.presence.roster();
        for gateway in roster.others() {
            if !self.gateway.gateways.lives(gateway) {
                roster.forget(gateway, Instant::now());
            }
        }
    }

    /// Does what is due: tells the other gateways, tells the members.
    async fn act(&mut self) {
        let due = self.presence.roster().due(Instant::now());
        for note in &due.publish {
            self.tell(note).await;
        }
        let writing = std::mem::take(&mut *self.presence.writing());
        for user in writing {
            self.tell(&Note::Typing { gateway: self.gateway.gateways.me, user }).await;
            self.show_typing(user).await;
        }
        if let Some(shown) = due.show {
            self.show(shown).await;
        }
    }

    /// Tells the other gateways. One that comes later asks.
    async fn tell(&self, note: &Note) {
        if !self.gateway.gateways.has_company() {
            return;
        }
        if let Err(error) = self.gateway.broker.tell(self.subject.clone(), note).await {
            tracing::debug!(%error, "the other gateways can't be told who is present");
        }
    }

    async fn show_typing(&mut self, user: UserId) {
        let now = Instant::now();
        if now >= self.second_began + SECOND {
            (self.second_began, self.typed) = (now, 0);
        }
        self.typed += 1;
        if self.typed > TYPING_PER_SECOND_MAX {
            self.gateway.signals.typing_dropped();
            return;
        }
        self.presence.told.types(self.gateway.profiles.person(user).await);
        self.ring();
    }

    async fn show(&self, shown: Shown) {
        let Shown { count, present, came, went } = shown;
        let change = PresenceFrame {
            count,
            present: None,
            came: self.people(came).await,
            went: self.people(went).await,
        };
        let present = Some(self.people(present).await);
        self.presence.told.say(PresenceFrame { count, present, ..PresenceFrame::default() }, change);
        self.ring();
    }

    async fn people(&self, users: Vec<UserId>) -> Vec<Person> {
        // Together, so that names which are not known here are one request.
        join_all(users.into_iter().map(|user| self.gateway.profiles.person(user))).await
    }

    fn ring(&self) {
        if let Some(room) = self.room.upgrade() {
            room.members.ring();
        }
    }
}
