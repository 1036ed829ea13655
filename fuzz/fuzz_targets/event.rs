//! The log's events, and the subjects they lie on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{Event, StoredEvent, limits};

/// Ids, times and spaces have longer and shorter spellings than ours: so much may an event grow when it is written again.
const GROWTH_MAX: usize = 100;

fuzz_target!(|bytes: &[u8]| {
    fuzz::json::<StoredEvent>(bytes);
    let Ok(event) = Event::decode(bytes) else { return };
    let written = event.encode();
    assert!(written.len() <= bytes.len() + GROWTH_MAX, "{} bytes become {}", bytes.len(), written.len());
    if written.len() <= limits::EVENT_BYTES_MAX {
        assert_eq!(Event::decode(&written).as_ref(), Ok(&event));
    }
    if let Some(body) = event.body() {
        fuzz::within_limits(body);
        assert_eq!(body.hash().len(), 64);
    }
    if let Event::Reacted { reaction, .. } = &event {
        assert!(reaction.as_str().len() <= limits::REACTION_BYTES_MAX);
    }
});
