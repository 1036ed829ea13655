//! A socket of the JSON format, as a program has it.

use crate::heard::{Heard, Refused, Seen};
use crate::socket::{Came, Closed, PATIENCE, Socket};
use protocol::MessageId;
use protocol::frame::EventFrame;
use serde_json::json;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Messages under way at once, at most: a server refuses more than it can work on.
const WINDOW: usize = 32;
/// How often a page is asked for that is refused for now.
const ASKED_MAX: usize = 10;

pub struct JsonSocket {
    pub socket: Socket,
    /// Whether presence and typing are heard too. Most tests are about what stays.
    pub hears_passing: bool,
    /// Heard while something else was waited for, oldest first.
    kept: VecDeque<Heard>,
}

impl JsonSocket {
    pub fn over(socket: Socket) -> Self {
        Self { socket, hears_passing: false, kept: VecDeque::new() }
    }

    /// Sends a message under a new id.
    pub async fn send(&mut self, body: &str) -> MessageId {
        let id = MessageId::new();
        self.send_as(id, body).await;
        id
    }

    pub async fn send_as(&mut self, id: MessageId, body: &str) {
        self.socket.send_text(json!({"type": "send", "id": id, "body": body}).to_string()).await;
    }

    /// Edits a message, and gives the id of the edit.
    pub async fn edit(&mut self, target: MessageId, body: &str) -> MessageId {
        let id = MessageId::new();
        self.ask(json!({"type": "edit", "id": id, "target": target, "body": body})).await;
        id
    }

    /// Deletes a message, and gives the id of the deletion.
    pub async fn delete(&mut self, target: MessageId) -> MessageId {
        let id = MessageId::new();
        self.ask(json!({"type": "delete", "id": id, "target": target})).await;
        id
    }

    /// Puts a reaction on a message or takes it back, and gives the id of that.
    pub async fn react(&mut self, target: MessageId, reaction: &str, on: bool) -> MessageId {
        let id = MessageId::new();
        let frame = json!({"type": "react", "id": id, "target": target, "reaction": reaction, "on": on});
        self.ask(frame).await;
        id
    }

    pub async fn ask(&mut self, frame: serde_json::Value) {
        self.socket.send_text(frame.to_string()).await;
    }

    /// Sends a message, waits for its acknowledgement and gives its sequence.
    pub async fn say(&mut self, body: &str) -> u64 {
        let id = self.send(body).await;
        self.acknowledged(id).await.0
    }

    /// Sends messages in this order, a few at a time, and waits until all are acknowledged; gives their sequences.
    pub async fn say_all(&mut self, bodies: impl IntoIterator<Item = String>) -> Vec<u64> {
        let bodies: Vec<String> = bodies.into_iter().collect();
        let mut sequences = Vec::new();
        for some in bodies.chunks(WINDOW) {
            let mut ids = Vec::new();
            for body in some {
                ids.push(self.send(body).await);
            }
            for id in ids {
                sequences.push(self.acknowledged(id).await.0);
            }
        }
        sequences
    }

    /// The next frame, pings apart.
    ///
    /// # Panics
    /// When the socket ends, or nothing comes in time.
    pub async fn next(&mut self) -> Heard {
        if let Some(heard) = self.kept.pop_front() {
            return heard;
        }
        self.read(Instant::now() + PATIENCE).await
    }

    /// The next frame of the kind that `pick` picks; the others stay for later.
    ///
    /// # Panics
    /// When the socket ends, or none comes in time.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(&Heard) -> Option<T>) -> T {
        for place in 0..self.kept.len() {
            if let Some(picked) = pick(&self.kept[place]) {
                self.kept.remove(place);
                return picked;
            }
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard = self.read(deadline).await;
            match pick(&heard) {
                Some(picked) => return picked,
                None => self.kept.push_back(heard),
            }
        }
    }

    /// The acknowledgement of a message: its sequence, and whether it had been stored before.
    pub async fn acknowledged(&mut self, id: MessageId) -> (u64, bool) {
        self.until(|heard| match heard {
            Heard::Ack { id: of, seq, duplicate } if *of == id => Some((*seq, *duplicate)),
            Heard::Refused(refused) if refused.id == Some(id) => panic!("refused: {refused:?}"),
            _ => None,
        })
        .await
    }

    pub async fn refused(&mut self) -> Refused {
        self.until(|heard| match heard {
            Heard::Refused(refused) => Some(refused.clone()),
            _ => None,
        })
        .await
    }

    /// The next event.
    pub async fn event(&mut self) -> Seen {
        self.until(|heard| match heard {
            Heard::Event(event) => Some(event.clone().into()),
            _ => None,
        })
        .await
    }

    /// The next event as the frame has it.
    pub async fn frame(&mut self) -> EventFrame {
        self.until(|heard| match heard {
            Heard::Event(event) => Some(event.clone()),
            _ => None,
        })
        .await
    }

    /// The next message's text; events that are no message are passed over.
    pub async fn message(&mut self) -> String {
        loop {
            if let Some(body) = self.event().await.body {
                return body;
            }
        }
    }

    /// The next `count` messages' texts.
    pub async fn messages(&mut self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        while bodies.len() < count {
            bodies.push(self.message().await);
        }
        bodies
    }

    /// A page of older rows, oldest first, and whether there is more.
    pub async fn page(&mut self, before: u64, limit: usize) -> (Vec<Seen>, bool) {
        let (rows, more) = self.rows(before, limit).await;
        (rows.into_iter().map(Seen::from).collect(), more)
    }

    /// A page of older rows as its frame has them, oldest first, and whether there is more.
    pub async fn rows(&mut self, before: u64, limit: usize) -> (Vec<EventFrame>, bool) {
        self.page_of(json!({"type": "page", "before": before, "limit": limit})).await
    }

    /// A page at a place, as `after` and a sequence, or `around` and anything that it takes.
    pub async fn page_at(&mut self, side: &str, place: serde_json::Value, limit: usize) -> (Vec<Seen>, bool) {
        let (rows, more) = self.page_of(json!({"type": "page", side: place, "limit": limit})).await;
        (rows.into_iter().map(Seen::from).collect(), more)
    }

    /// Asks again as long as it is told when to: a history worker that was just started may not answer yet.
    async fn page_of(&mut self, question: serde_json::Value) -> (Vec<EventFrame>, bool) {
        for _ in 0..ASKED_MAX {
            self.ask(question.clone()).await;
            let answer = self.until(|heard| match heard {
                Heard::Page { events, more } => Some(Ok((events.clone(), *more))),
                Heard::Refused(refused) => Some(Err(refused.clone())),
                _ => None,
            });
            match answer.await {
                Ok(page) => return page,
                Err(Refused { retry_after_ms: Some(pause), .. }) => sleep(Duration::from_millis(pause)).await,
                Err(refused) => panic!("no page: {refused:?}"),
            }
        }
        panic!("no page, however often it was asked for");
    }

    /// The room's whole history, oldest first, paged from its end to its beginning.
    pub async fn whole_history(&mut self, limit: usize) -> Vec<Seen> {
        let mut pages = VecDeque::new();
        let mut before = i64::MAX as u64;
        loop {
            let (page, more) = self.page(before, limit).await;
            before = page.first().map_or(0, |event| event.seq);
            pages.push_front(page);
            if !more {
                return pages.into_iter().flatten().collect();
            }
        }
    }

    /// Reads until the server says that everything up to now was sent: those events, and the cursor.
    pub async fn caught_up(&mut self) -> (Vec<Seen>, String) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Heard::Event(event) => events.push(event.into()),
                Heard::CaughtUp { cursor } => return (events, cursor),
                other => panic!("{other:?} came before `caught_up`"),
            }
        }
    }

    /// How many of the frames that were heard and not taken are of this kind.
    pub fn kept_of(&self, is_meant: impl Fn(&Heard) -> bool) -> usize {
        self.kept.iter().filter(|heard| is_meant(heard)).count()
    }

    /// Reads on until the socket ends.
    pub async fn closed(&mut self) -> Closed {
        self.socket.closed().await
    }

    /// That the socket is open and answers: a page of nothing comes back.
    pub async fn is_alive(&mut self) {
        self.page(1, 1).await;
    }

    async fn read(&mut self, deadline: Instant) -> Heard {
        loop {
            match self.socket.next_before(deadline).await {
                Some(Came::Text(text)) => match parse(&text) {
                    Heard::Ping | Heard::Other => {}
                    heard if heard.is_passing() && !self.hears_passing => {}
                    heard => return heard,
                },
                Some(Came::Closed(closed)) => panic!("the socket ended: {closed:?}; kept {:?}", self.kept),
                None => panic!("no such frame came in time; kept {:?}", self.kept),
            }
        }
    }
}

/// Reads a server's frame.
///
/// # Panics
/// When it is no frame, or one of a kind of the contract's that is not as the contract says.
pub fn parse(text: &str) -> Heard {
    serde_json::from_str(text).unwrap_or_else(|error| {
        let kind = serde_json::from_str::<serde_json::Value>(text).ok();
        let kind = kind.as_ref().and_then(|frame| frame["type"].as_str()).unwrap_or_default();
        assert!(!kind.is_empty() && !Heard::KINDS.contains(&kind), "not a frame ({error}): {text}");
        Heard::Other
    })
}
