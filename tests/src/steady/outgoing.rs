//! What a member has to say: kept until the server has it, in the order of writing.

use protocol::MessageId;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// A message that is not acknowledged yet.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub id: MessageId,
    pub body: String,
    /// Not sent again after a broken connection.
    pub once: bool,
    /// When it was sent first, over whatever socket.
    begun: Option<Instant>,
    /// When it was sent over the present socket.
    sent: Option<Instant>,
    /// Before this it is not to be sent again.
    not_before: Option<Instant>,
}

impl Outgoing {
    pub const fn new(id: MessageId, body: String, once: bool) -> Self {
        Self { id, body, once, begun: None, sent: None, not_before: None }
    }
}

/// The messages of one member, oldest first.
#[derive(Debug, Default)]
pub struct Outbox(VecDeque<Outgoing>);

impl Outbox {
    pub fn push(&mut self, outgoing: Outgoing) {
        self.0.push_back(outgoing);
    }

    /// The next message to be sent, if so many may be under way at once. It counts as sent from now on.
    pub fn next(&mut self, window: usize, now: Instant) -> Option<&Outgoing> {
        let under_way = self.0.iter().filter(|outgoing| outgoing.sent.is_some()).count();
        if under_way >= window {
            return None;
        }
        let first = self.0.iter_mut().find(|outgoing| outgoing.sent.is_none())?;
        // One that has to wait holds back those behind it, so that order is kept.
        if first.not_before.is_some_and(|at| at > now) {
            return None;
        }
        first.begun.get_or_insert(now);
        first.sent = Some(now);
        Some(first)
    }

    /// Gives how long it took since the message was sent first. Nothing, when it was not waited for any more.
    pub fn acknowledged(&mut self, id: MessageId) -> Option<Duration> {
        let place = self.0.iter().position(|outgoing| outgoing.id == id)?;
        self.0.remove(place)?.begun.map(|begun| begun.elapsed())
    }

    /// It is to be sent again after `wait`.
    pub fn again_in(&mut self, id: MessageId, wait: Duration) {
        for outgoing in self.0.iter_mut().filter(|outgoing| outgoing.id == id) {
            outgoing.sent = None;
            outgoing.not_before = Some(Instant::now() + wait);
        }
    }

    /// Whatever was sent longer ago is to be sent again.
    pub fn again_what_is_older(&mut self, than: Duration) {
        for outgoing in &mut self.0 {
            if outgoing.sent.is_some_and(|sent| sent.elapsed() > than) {
                outgoing.sent = None;
            }
        }
    }

    /// What was sent on a socket that is gone may be lost: it waits for the next one. Gives what is not to be sent again.
    pub fn start_anew(&mut self) -> Vec<MessageId> {
        let given_up = self.0.iter().filter(|outgoing| outgoing.once && outgoing.sent.is_some());
        let given_up: Vec<_> = given_up.map(|outgoing| outgoing.id).collect();
        self.0.retain(|outgoing| !given_up.contains(&outgoing.id));
        self.0.iter_mut().for_each(|outgoing| outgoing.sent = None);
        given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(count: usize) -> (Outbox, Vec<MessageId>) {
        let mut outbox = Outbox::default();
        let ids: Vec<_> = (0..count).map(|_| MessageId::new()).collect();
        ids.iter().for_each(|id| outbox.push(Outgoing::new(*id, String::new(), false)));
        (outbox, ids)
    }

    #[tokio::test]
    async fn no_more_are_under_way_than_allowed() {
        let (mut outbox, ids) = outbox(3);
        let now = Instant::now();
        assert_eq!(outbox.next(2, now).map(|next| next.id), Some(ids[0]));
        assert_eq!(outbox.next(2, now).map(|next| next.id), Some(ids[1]));
        assert!(outbox.next(2, now).is_none());
        outbox.acknowledged(ids[0]);
        assert_eq!(outbox.next(2, now).map(|next| next.id), Some(ids[2]));
    }

    #[tokio::test]
    async fn a_message_that_waits_holds_back_those_behind_it() {
        let (mut outbox, ids) = outbox(2);
        let now = Instant::now();
        assert!(outbox.next(1, now).is_some());
        outbox.again_in(ids[0], Duration::from_secs(60));
        assert!(outbox.next(1, now).is_none());
        let later = now + Duration::from_secs(120);
        assert_eq!(outbox.next(1, later).map(|next| next.id), Some(ids[0]));
    }

    #[tokio::test]
    async fn after_a_broken_connection_all_is_sent_again_but_what_is_sent_once() {
        let (mut outbox, ids) = outbox(1);
        let once = MessageId::new();
        outbox.push(Outgoing::new(once, String::new(), true));
        while outbox.next(9, Instant::now()).is_some() {}
        assert_eq!(outbox.start_anew(), [once]);
        assert_eq!(outbox.next(9, Instant::now()).map(|next| next.id), Some(ids[0]));
    }
}
