//! The log's events, and the subjects they lie on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{
    Event, Sealed, SealedEvent, SealedStored, limits,
    sealed::{BOX_HEAD_BYTES, BOX_TAG_BYTES},
};

/// Ids, times and spaces have longer and shorter spellings than ours: so much may an event grow when it is written again.
const GROWTH_MAX: usize = 100;

fuzz_target!(|bytes: &[u8]| {
    fuzz::json::<SealedStored>(bytes);
    let Ok(event) = SealedEvent::decode(bytes) else { return };
    let written = event.encode();
    assert!(written.len() <= bytes.len() + GROWTH_MAX, "{} bytes become {}", bytes.len(), written.len());
    if written.len() <= limits::EVENT_BYTES_MAX {
        assert_eq!(SealedEvent::decode(&written).as_ref(), Ok(&event));
    }
    if let Some(body) = event.body() {
        assert_eq!(body.by, event.id());
        is_a_box(&body.sealed);
    }
    if let Event::Reacted { reaction, .. } = &event {
        assert_eq!(reaction.author, event.author());
        is_a_box(&reaction.text.sealed);
    }
});

fn is_a_box(sealed: &Sealed) {
    assert!(sealed.as_bytes().len() >= BOX_HEAD_BYTES + BOX_TAG_BYTES);
    assert_eq!(Sealed::parse(&sealed.to_text()).as_ref(), Some(sealed));
    assert_eq!(sealed.hash().len(), 64);
}
