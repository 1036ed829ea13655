//! What a frame from a client means. Pure: it gets a frame and gives an action.

use super::wire::Refused;
use crate::writing::{Request, What};
use protocol::{
    Body, MessageId, PagePlace, UserId,
    event::BadBody,
    frame::{BadFrame, ClientFrame, Refusal},
    limits,
};

/// What a socket is to do about a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Store(Request),
    Page {
        place: PagePlace,
        limit: usize,
    },
    /// The member is writing something.
    Typing,
    Refuse(Refused),
}

/// Takes a text frame of either format from `author`.
pub fn text(author: UserId, frame: &str) -> Action {
    match ClientFrame::parse(frame) {
        Ok(ClientFrame::Page { place, limit }) => Action::Page { place, limit },
        Ok(ClientFrame::Send { id, body }) => send(author, id.unwrap_or_default(), &body),
        Ok(ClientFrame::Edit { id, target, body }) => {
            with_body(author, id.unwrap_or_default(), &body, |body| What::Edit { target, body })
        }
        Ok(ClientFrame::Delete { id, target }) => store(author, id, What::Delete { target }),
        Ok(ClientFrame::React { id, target, reaction, on }) => {
            store(author, id, What::React { target, reaction, on })
        }
        Ok(ClientFrame::Typing) => Action::Typing,
        Err(bad) => Action::Refuse(bad_frame(bad)),
    }
}

/// A binary frame has no meaning in either format.
pub fn binary() -> Action {
    Action::Refuse(refused(None, Refusal::Binary, "send text frames, not binary ones".into()))
}

/// A message from `author`, as a frame or a form has it.
pub fn send(author: UserId, id: MessageId, body: &str) -> Action {
    with_body(author, id, body, What::Message)
}

fn with_body(author: UserId, id: MessageId, body: &str, what: impl FnOnce(Body) -> What) -> Action {
    match Body::parse(body) {
        Ok(body) => store(author, Some(id), what(body)),
        Err(bad) => Action::Refuse(bad_body(id, bad)),
    }
}

fn store(author: UserId, id: Option<MessageId>, what: What) -> Action {
    Action::Store(Request { id: id.unwrap_or_default(), author, what })
}

fn bad_body(id: MessageId, bad: BadBody) -> Refused {
    let (code, message) = match bad {
        BadBody::Empty => (Refusal::Empty, "a message needs something that can be seen".into()),
        BadBody::TooLong => {
            (Refusal::TooLong, format!("a message may have {} characters at most", limits::BODY_CHARS_MAX))
        }
        BadBody::Control => (
            Refusal::ControlCharacter,
            "a message may not hold control characters but line breaks and tabs".into(),
        ),
    };
    refused(Some(id), code, message)
}

fn bad_frame(bad: BadFrame) -> Refused {
    match bad {
        BadFrame::NotJson => refused(None, Refusal::NotJson, "a frame is one JSON object".into()),
        BadFrame::UnknownType(kind) => refused(
            None,
            Refusal::UnknownType,
            format!("the types are send, edit, delete, react, typing and page, not {kind:?}"),
        ),
        BadFrame::Field { kind, field, id } => {
            let what = match field {
                "id" | "target" => "a UUID",
                "reaction" => "one emoji",
                "on" => "true or false",
                "limit" => "a number from 1 to 100",
                "before" | "after" | "target_seq" => "a sequence number",
                "around" => "a sequence number, a message's UUID, a day or a time",
                "before, after or around" => "there, one of them",
                _ => "a text",
            };
            refused(id, Refusal::BadField, format!("{kind}: the field {field} must be {what}"))
        }
    }
}

const fn refused(id: Option<MessageId>, code: Refusal, message: String) -> Refused {
    Refused { id, code, message, retry_after_ms: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(action: Action) -> Refusal {
        match action {
            Action::Refuse(refused) => refused.code,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn every_limit_has_a_name() {
        let me = UserId::new();
        let send = |body: &str| text(me, &serde_json::json!({"type": "send", "body": body}).to_string());
        assert_eq!(code(send("")), Refusal::Empty);
        assert_eq!(code(send("\u{200B}")), Refusal::Empty);
        assert_eq!(code(send(&"x".repeat(4_001))), Refusal::TooLong);
        assert_eq!(code(send("a\u{0}")), Refusal::ControlCharacter);
        assert_eq!(code(text(me, "{")), Refusal::NotJson);
        assert_eq!(code(text(me, r#"{"type":"poll"}"#)), Refusal::UnknownType);
        assert_eq!(code(text(me, r#"{"type":"send"}"#)), Refusal::BadField);
        assert_eq!(code(binary()), Refusal::Binary);
        assert!(matches!(send(&"é".repeat(4_000)), Action::Store(_)));
    }

    #[test]
    fn a_message_without_an_id_gets_one() {
        let sent = |action| match action {
            Action::Store(request) => request.id,
            other => panic!("not stored: {other:?}"),
        };
        let me = UserId::new();
        let frame = r#"{"message":"hello"}"#;
        assert_ne!(sent(text(me, frame)), sent(text(me, frame)));
    }
}
