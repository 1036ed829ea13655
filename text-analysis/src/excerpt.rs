//! The part of a text around what was found in it.

use std::ops::Range;

/// Characters of an excerpt, about, and how many of them stand before the first thing found.
const CHARS: usize = 240;
const BEFORE: usize = 60;

/// A piece of an excerpt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    /// It was looked for.
    pub marked: bool,
}

/// What is shown of a text in which these places were found. What was left out at an end is a `…`.
pub fn excerpt(text: &str, found: &[Range<usize>]) -> Vec<Piece> {
    let first = found.first().map_or(0, |range| range.start);
    let start = back(text, first, BEFORE);
    let end = forward(text, start, CHARS);
    let mut pieces = Vec::new();
    let mut push = |text: &str, marked| {
        if !text.is_empty() {
            pieces.push(Piece { text: text.to_owned(), marked });
        }
    };
    if start > 0 {
        push("…", false);
    }
    let mut at = start;
    for range in found.iter().filter(|range| range.start < end) {
        let (from, to) = (range.start.max(at), range.end.min(end));
        push(&text[at..from], false);
        push(&text[from..to], true);
        at = to;
    }
    push(&text[at..end], false);
    if end < text.len() {
        push("…", false);
    }
    pieces
}

/// The place so many characters before another, at the begin of a word if there is one between.
fn back(text: &str, at: usize, chars: usize) -> usize {
    let far = text[..at].char_indices().rev().nth(chars.saturating_sub(1)).map_or(0, |(place, _)| place);
    if far == 0 {
        return 0;
    }
    text[far..at].find(char::is_whitespace).map_or(far, |space| {
        let space = far + space;
        space + text[space..].chars().next().map_or(0, char::len_utf8)
    })
}

fn forward(text: &str, at: usize, chars: usize) -> usize {
    text[at..].char_indices().nth(chars).map_or(text.len(), |(place, _)| at + place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str, found: &[Range<usize>]) -> String {
        let pieces = excerpt(text, found).into_iter();
        pieces.map(|piece| if piece.marked { format!("[{}]", piece.text) } else { piece.text }).collect()
    }

    #[test]
    fn a_short_text_is_shown_whole() {
        assert_eq!(shown("hot tea, please", std::slice::from_ref(&(4..7))), "hot [tea], please");
        assert_eq!(shown("tea", &[]), "tea");
    }

    #[test]
    fn of_a_long_text_the_part_around_is_shown() {
        let text = format!("{} needle {}", "word ".repeat(100), "more ".repeat(100));
        let at = text.find("needle").unwrap();
        let shown = shown(&text, std::slice::from_ref(&(at..at + 6)));
        assert!(shown.starts_with("…word") && shown.contains("[needle]") && shown.ends_with('…'), "{shown}");
        assert!(shown.chars().count() < 260);
    }

    proptest! {
        #[test]
        fn no_text_is_cut_within_a_letter(text in ".{0,600}", place in any::<prop::sample::Index>()) {
            let places: Vec<_> = text.char_indices().collect();
            let found: Vec<_> = places.get(place.index(places.len().max(1)))
                .map(|(at, c)| *at..*at + c.len_utf8()).into_iter().collect();
            let all: String = excerpt(&text, &found).into_iter().map(|piece| piece.text).collect();
            prop_assert!(all.chars().count() <= text.chars().count() + 2);
        }
    }
}
