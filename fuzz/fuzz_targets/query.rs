//! What the history worker is asked, and what it answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::query::{HistoryAnswer, HistoryQuery};

fuzz_target!(|bytes: &[u8]| {
    fuzz::json::<HistoryQuery>(bytes);
    fuzz::json::<HistoryAnswer>(bytes);
});
