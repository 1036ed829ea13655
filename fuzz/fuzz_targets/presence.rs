//! What gateways tell each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{
    presence::{Beat, Note},
    state::Head,
};

fuzz_target!(|bytes: &[u8]| {
    if let Some(note) = fuzz::json::<Note>(bytes) {
        note.gateway();
    }
    fuzz::json::<Beat>(bytes);
    fuzz::json::<Head>(bytes);
});
