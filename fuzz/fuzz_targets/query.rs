//! What the history worker and the search worker are asked, and what they answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::query::{HistoryAnswer, HistoryQuery};
use protocol::search::SearchQuery;

fuzz_target!(|bytes: &[u8]| {
    fuzz::json::<HistoryQuery>(bytes);
    fuzz::json::<HistoryAnswer>(bytes);
    fuzz::json::<SearchQuery>(bytes);
});
