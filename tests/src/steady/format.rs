//! The two formats of a socket, as far as a member that stays needs them: what it says, and what it hears.

use crate::heard::{Heard, Seen};
use crate::html;
use crate::json_socket::parse;
use crate::socket::Dial;
use protocol::{MessageId, Timestamp};
use serde_json::json;

/// How a member speaks with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As a program does.
    Json,
    /// As the room's page does.
    Page,
}

/// What a member heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    Ack {
        id: MessageId,
        seq: u64,
    },
    /// And when it was stored, where the format says so.
    Event(Seen, Option<Timestamp>),
    CaughtUp {
        cursor: String,
    },
    Reset {
        reason: String,
    },
    Refused {
        id: Option<MessageId>,
        code: String,
        retry_after_ms: Option<u64>,
    },
    /// A page of history: here, the answer to the question whether anybody is there.
    Answer,
    /// A sign of life, and all that this member does not know or need.
    Other,
}

impl Format {
    /// The handshake that asks for this format.
    pub fn of(self, dial: Dial) -> Dial {
        match self {
            Self::Json => dial.as_json(),
            Self::Page => dial,
        }
    }

    /// Messages under way on one socket, at most: a page waits for each, a program need not, but a server refuses more than
    /// it can work on.
    pub const fn window(self) -> usize {
        match self {
            Self::Json => 32,
            Self::Page => 1,
        }
    }

    pub fn send(self, id: MessageId, body: &str) -> String {
        match self {
            Self::Json => json!({"type": "send", "id": id, "body": body}).to_string(),
            Self::Page => json!({"type": "send", "id": id, "message": body}).to_string(),
        }
    }

    /// Asks for a sign of life: an empty page of history.
    pub fn probe(self) -> String {
        json!({"type": "page", "before": 1, "limit": 1}).to_string()
    }

    pub fn read(self, text: &str) -> News {
        match self {
            Self::Json => of_frame(parse(text)),
            Self::Page => of_fragment(text),
        }
    }
}

fn of_frame(heard: Heard) -> News {
    match heard {
        Heard::Ack { id, seq, .. } => News::Ack { id, seq },
        Heard::Event(event) => {
            let (seen, at) = Seen::at(event);
            News::Event(seen, Some(at))
        }
        Heard::CaughtUp { cursor } => News::CaughtUp { cursor },
        Heard::Reset { reason } => News::Reset { reason: format!("{reason:?}") },
        Heard::Refused(refused) => News::Refused {
            id: refused.id,
            code: refused.code.code().to_owned(),
            retry_after_ms: refused.retry_after_ms,
        },
        Heard::Page { .. } => News::Answer,
        Heard::Ping | Heard::Typing { .. } | Heard::Presence(_) | Heard::Head { .. } | Heard::Other => {
            News::Other
        }
    }
}

fn of_fragment(fragment: &str) -> News {
    if fragment.contains("hx-swap-oob=\"beforeend:#messages\"") {
        return html::rows(fragment)
            .into_iter()
            .next()
            .and_then(seen)
            .map_or(News::Other, |seen| News::Event(seen, None));
    }
    let value = |name| html::attribute(fragment, name);
    let number = |name| value(name).and_then(|text| text.parse().ok());
    let id = |name| value(name).and_then(|text| text.parse().ok());
    if let (Some(id), Some(seq)) = (id("data-ack"), number("data-seq")) {
        return News::Ack { id, seq };
    }
    if let Some(code) = value("data-code") {
        let retry_after_ms = number("data-retry-after-ms");
        return News::Refused { id: id("data-refused"), code, retry_after_ms };
    }
    if let Some(cursor) = value("data-cursor") {
        return News::CaughtUp { cursor };
    }
    if let Some(reason) = value("data-reset") {
        return News::Reset { reason };
    }
    if value("data-more").is_some() { News::Answer } else { News::Other }
}

/// The event that a row shows.
fn seen(row: html::Row) -> Option<Seen> {
    let body = (row.kind == "message").then_some(row.text);
    Some(Seen { seq: row.seq, prev: row.prev, id: row.id.parse().ok()?, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_and_frames_say_the_same() {
        let id = MessageId::new();
        let row = format!(
            "<div hx-swap-oob=\"beforeend:#messages\"><article class=\"row\" id=\"{id}\" data-seq=\"7\" data-prev=\"5\" \
             data-author=\"u\" data-kind=\"message\"><div class=\"body\">hi</div></article></div>"
        );
        let seen = Seen { seq: 7, prev: 5, id, body: Some("hi".into()) };
        assert_eq!(Format::Page.read(&row), News::Event(seen, None));
        let status = |data: &str| {
            Format::Page.read(&format!("<div id=\"status\" hx-swap-oob=\"true\" hidden {data}></div>"))
        };
        assert_eq!(status(&format!("data-ack=\"{id}\" data-seq=\"7\"")), News::Ack { id, seq: 7 });
        assert_eq!(status("data-cursor=\"s.9\""), News::CaughtUp { cursor: "s.9".into() });
        assert_eq!(status("data-page data-more=\"false\" data-before=\"0\""), News::Answer);
        assert_eq!(status("data-ping=\"\""), News::Other);
        let refused = News::Refused { id: Some(id), code: "busy".into(), retry_after_ms: Some(5) };
        let fragment = format!("data-refused=\"{id}\" data-code=\"busy\" data-retry-after-ms=\"5\"");
        assert_eq!(status(&fragment), refused);
        let frame = json!({"type": "refused", "id": id, "code": "busy", "message": "", "retry_after_ms": 5});
        assert_eq!(Format::Json.read(&frame.to_string()), refused);
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        assert_eq!(Format::Json.read(r#"{"type":"weather","sun":true}"#), News::Other);
        assert_eq!(Format::Page.read("<ul id=\"presence\" hx-swap-oob=\"true\"></ul>"), News::Other);
    }
}
