//! Texts with a form: bodies, reactions, times, names, searches.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::search::{SEARCH_PARTS_MAX, Search};
use protocol::{Body, Reaction, Timestamp, limits, text};

fuzz_target!(|input: &str| {
    if let Ok(body) = Body::parse(input) {
        fuzz::within_limits(&body);
    }
    if let Ok(reaction) = Reaction::parse(input) {
        assert_eq!(reaction.as_str(), input);
        assert!(input.len() <= limits::REACTION_BYTES_MAX);
        assert!(!text::is_blank(input), "{input:?} shows nothing");
        let json = serde_json::to_vec(&reaction).expect("a text");
        assert_eq!(fuzz::json::<Reaction>(&json), Some(reaction));
    }
    if let Ok(at) = Timestamp::parse(input) {
        assert_eq!(Timestamp::parse(&at.to_string()), Ok(at));
        let json = serde_json::to_vec(&at).expect("a text");
        assert_eq!(fuzz::json::<Timestamp>(&json), Some(at));
    }
    if let Ok(search) = Search::parse(input, 60) {
        assert!(search.wanted.len() + search.from.len() + search.rooms.len() <= SEARCH_PARTS_MAX);
    }
    let folded = text::fold_spaces(input);
    assert_eq!(text::fold_spaces(&folded), folded);
    assert_eq!(text::is_blank(&folded), text::is_blank(input));
});
