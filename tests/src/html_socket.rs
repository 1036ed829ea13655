//! A socket of the page's format: JSON of a form in, fragments out.

use crate::html::{self, Row};
use crate::socket::{Came, Closed, PATIENCE, Socket};
use protocol::MessageId;
use serde_json::json;
use std::collections::VecDeque;
use tokio::time::Instant;

pub struct HtmlSocket {
    pub socket: Socket,
    /// Heard while something else was waited for, oldest first.
    kept: VecDeque<String>,
}

/// What a refusal in this format says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedFragment {
    pub id: String,
    pub code: String,
    pub text: String,
    pub retry_after_ms: Option<u64>,
}

impl HtmlSocket {
    pub fn over(socket: Socket) -> Self {
        Self { socket, kept: VecDeque::new() }
    }

    /// Sends what the page's form sends.
    pub async fn send(&mut self, message: &str) -> MessageId {
        let id = MessageId::new();
        self.socket.send_text(json!({"type": "send", "message": message, "id": id}).to_string()).await;
        id
    }

    /// Sends a form's fields alone: no type, and no id.
    pub async fn send_plain_form(&mut self, message: &str) {
        self.socket
            .send_text(json!({"message": message, "HEADERS": {"HX-Request": "true"}}).to_string())
            .await;
    }

    pub async fn ask_page(&mut self, before: u64, limit: usize) {
        self.socket.send_text(json!({"type": "page", "before": before, "limit": limit}).to_string()).await;
    }

    /// The next fragment with what `pick` picks; the others stay for later.
    ///
    /// # Panics
    /// When the socket ends, or none comes in time.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        for place in 0..self.kept.len() {
            if let Some(picked) = pick(&self.kept[place]) {
                self.kept.remove(place);
                return picked;
            }
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.socket.next_before(deadline).await {
                Some(Came::Text(fragment)) => match pick(&fragment) {
                    Some(picked) => return picked,
                    None => self.kept.push_back(fragment),
                },
                Some(Came::Closed(closed)) => panic!("the socket ended: {closed:?}; kept {:?}", self.kept),
                None => panic!("no such fragment came in time; kept {:?}", self.kept),
            }
        }
    }

    /// The sequence of an acknowledged message.
    pub async fn acknowledged(&mut self, id: MessageId) -> u64 {
        let id = id.to_string();
        self.until(|fragment| {
            let is_ours = html::attribute(fragment, "data-ack").is_some_and(|ack| ack == id);
            is_ours.then(|| html::attribute(fragment, "data-seq")?.parse().ok()).flatten()
        })
        .await
    }

    /// The row of the next event.
    pub async fn row(&mut self) -> Row {
        self.until(|fragment| {
            let is_event = fragment.contains("hx-swap-oob=\"beforeend:#messages\"");
            is_event.then(|| html::rows(fragment).into_iter().next()).flatten()
        })
        .await
    }

    /// The rows of an older page, oldest first, and whether there is more.
    pub async fn page(&mut self, before: u64, limit: usize) -> (Vec<Row>, bool) {
        self.ask_page(before, limit).await;
        self.until(|fragment| {
            let more = html::attribute(fragment, "data-more")?;
            Some((html::rows(fragment), more == "true"))
        })
        .await
    }

    pub async fn refused(&mut self) -> RefusedFragment {
        self.until(|fragment| {
            Some(RefusedFragment {
                id: html::attribute(fragment, "data-refused")?,
                code: html::attribute(fragment, "data-code")?,
                text: html::text(fragment),
                retry_after_ms: html::attribute(fragment, "data-retry-after-ms")
                    .and_then(|ms| ms.parse().ok()),
            })
        })
        .await
    }

    /// The cursor up to which everything was sent.
    pub async fn caught_up(&mut self) -> String {
        self.until(|fragment| html::attribute(fragment, "data-cursor")).await
    }

    pub async fn reset(&mut self) -> String {
        self.until(|fragment| html::attribute(fragment, "data-reset")).await
    }

    pub async fn closed(&mut self) -> Closed {
        self.socket.closed().await
    }
}
