//! What a client sends, as JSON or as the page's form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{
    Body, MessageId, PagePlace, Sealed, SealedEvent, SealedText, Since, Spot, UserId,
    frame::{Aim, BadFrame, ClientFrame},
    limits,
    sealed::{BOX_FORMAT, BOX_HEAD_BYTES, BOX_TAG_BYTES},
};
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    match ClientFrame::parse(text) {
        Ok(frame) => {
            assert!(text.trim_start().starts_with('{'), "a frame is one JSON object");
            let written = written(&frame);
            assert_eq!(ClientFrame::parse(&written.to_string()), Ok(frame.clone()));
            within_limits(frame);
        }
        Err(BadFrame::UnknownType(kind)) => assert!(kind.chars().count() <= 40),
        Err(BadFrame::NotJson | BadFrame::Field { .. }) => {}
    }
});

fn written(frame: &ClientFrame) -> Value {
    let mut written = match frame {
        ClientFrame::Send { body, .. } => json!({"type": "send", "body": body}),
        ClientFrame::Edit { body, .. } => json!({"type": "edit", "body": body}),
        ClientFrame::Delete { .. } => json!({"type": "delete"}),
        ClientFrame::React { reaction, on, .. } => json!({"type": "react", "reaction": reaction, "on": on}),
        ClientFrame::Page { place, limit } => {
            let (name, value) = match place {
                PagePlace::Before(seq) => ("before", json!(seq)),
                PagePlace::After(seq) => ("after", json!(seq)),
                PagePlace::Around(Spot::Since(Since::Seq(seq))) => ("around", json!(seq)),
                PagePlace::Around(Spot::Since(Since::Time(time))) => ("around", json!(time)),
                PagePlace::Around(Spot::Message(id)) => ("around", json!(id)),
            };
            json!({"type": "page", name: value, "limit": limit})
        }
        ClientFrame::Typing => json!({"type": "typing"}),
    };
    let (id, target) = match frame {
        ClientFrame::Send { id, .. } => (*id, None),
        ClientFrame::Edit { id, target, .. }
        | ClientFrame::Delete { id, target }
        | ClientFrame::React { id, target, .. } => (*id, Some(*target)),
        ClientFrame::Page { .. } | ClientFrame::Typing => (None, None),
    };
    if let Some(id) = id {
        written["id"] = json!(id);
    }
    if let Some(Aim { id, seq }) = target {
        written["target"] = json!(id);
        if let Some(seq) = seq {
            written["target_seq"] = json!(seq);
        }
    }
    written
}

fn within_limits(frame: ClientFrame) {
    match frame {
        ClientFrame::Page { limit, .. } => assert!((1..=limits::PAGE_EVENTS_MAX).contains(&limit)),
        ClientFrame::React { reaction, .. } => assert!(reaction.as_str().len() <= limits::REACTION_BYTES_MAX),
        ClientFrame::Send { id, body } | ClientFrame::Edit { id, body, .. } => {
            if let Ok(body) = Body::parse(&body) {
                can_be_stored(id.unwrap_or_default(), body);
            }
        }
        ClientFrame::Delete { .. } | ClientFrame::Typing => {}
    }
}

/// Whatever a client may say can be read from the log again.
fn can_be_stored(id: MessageId, body: Body) {
    fuzz::within_limits(&body);
    // As long as its box will be.
    let bytes = [&[BOX_FORMAT; BOX_HEAD_BYTES][..], body.as_str().as_bytes(), &[0; BOX_TAG_BYTES]].concat();
    let sealed = Sealed::from_bytes(bytes).expect("it is as a box is");
    let event = SealedEvent::Message { id, author: UserId::default(), body: SealedText { by: id, sealed } };
    assert_eq!(SealedEvent::decode(&event.encode()), Ok(event));
}
