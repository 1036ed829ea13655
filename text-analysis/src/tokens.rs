//! A text taken apart: words between what is no letter, pairs of letters where a script writes no spaces, pictures one by one.

use crate::fold::fold;
use std::ops::Range;
use unicode_normalization::char::is_combining_mark;
use unicode_properties::UnicodeEmoji;

/// Characters of a token, at most: what is longer is known by its beginning.
const TOKEN_CHARS_MAX: usize = 100;

/// A piece of a text that can be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// In its folded form.
    pub folded: String,
    /// Where it is in the text, in bytes.
    pub range: Range<usize>,
    /// Its place among the tokens: those of a phrase follow each other.
    pub position: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Word,
    /// Two letters of a script that is written without spaces.
    Pair,
    /// The last letter of such a run.
    Last,
    Picture,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Spaceless,
    Picture,
    Other,
}

/// All tokens of a text, in its order.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let runs = without_elisions(text, runs(text));
    for (class, range) in runs {
        match class {
            Class::Letter => push(&mut tokens, text, range, Kind::Word),
            Class::Picture => push(&mut tokens, text, range, Kind::Picture),
            Class::Spaceless => push_pairs(&mut tokens, text, range),
            Class::Other => {}
        }
    }
    tokens
}

fn push(tokens: &mut Vec<Token>, text: &str, range: Range<usize>, kind: Kind) {
    let folded: String = fold(&text[range.clone()]).chars().take(TOKEN_CHARS_MAX).collect();
    if !folded.is_empty() {
        let position = tokens.len();
        tokens.push(Token { folded, range, position, kind });
    }
}

fn push_pairs(tokens: &mut Vec<Token>, text: &str, run: Range<usize>) {
    let bases = text[run.clone()].char_indices().filter(|(_, c)| !is_combining_mark(*c));
    let mut starts: Vec<usize> = bases.map(|(at, _)| run.start + at).collect();
    starts.push(run.end);
    for letters in starts.windows(3) {
        push(tokens, text, letters[0]..letters[2], Kind::Pair);
    }
    if let [.., last, end] = starts[..] {
        push(tokens, text, last..end, Kind::Last);
    }
}

/// Neighbours of one class, of pictures each one for itself.
fn runs(text: &str) -> Vec<(Class, Range<usize>)> {
    let mut runs: Vec<(Class, Range<usize>)> = Vec::new();
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        let last = runs.last_mut().filter(|(_, range)| range.end == at);
        let class = match (class_of(c), &last) {
            // A mark belongs to the letter before it.
            (Class::Other, Some((class, _))) if is_combining_mark(c) => *class,
            (class, _) => class,
        };
        match last {
            Some((of_last, range)) if *of_last == class && class != Class::Picture => range.end = end,
            _ if class == Class::Other => {}
            _ => runs.push((class, at..end)),
        }
    }
    runs
}

fn class_of(c: char) -> Class {
    if is_spaceless(c) {
        Class::Spaceless
    } else if c.is_alphanumeric() {
        Class::Letter
    } else if c.is_emoji_char() && !c.is_ascii() && !is_picture_part(c) {
        Class::Picture
    } else {
        Class::Other
    }
}

/// What joins pictures or changes their look, and is none.
const fn is_picture_part(c: char) -> bool {
    matches!(c, '\u{200D}' | '\u{FE0F}' | '\u{20E3}' | '\u{1F3FB}'..='\u{1F3FF}')
}

/// Han, kana, Hangul, Thai, Lao, Burmese and Khmer.
const fn is_spaceless(c: char) -> bool {
    matches!(c,
        '\u{0E01}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1100}'..='\u{11FF}' | '\u{1780}'..='\u{17FF}'
        | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{30FA}' | '\u{30FC}'..='\u{318F}' | '\u{31F0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{FF66}'..='\u{FFDC}' | '\u{20000}'..='\u{323AF}')
}

/// Leaves out what is joined to a word by an apostrophe and says nothing alone: `l’été`, `qu’il`, `Ada’s`.
fn without_elisions(text: &str, runs: Vec<(Class, Range<usize>)>) -> Vec<(Class, Range<usize>)> {
    let is_joined = |left: &(Class, Range<usize>), right: &(Class, Range<usize>)| {
        left.0 == Class::Letter
            && right.0 == Class::Letter
            && matches!(&text[left.1.end..right.1.start], "'" | "’" | "ʼ")
    };
    let mut kept = Vec::with_capacity(runs.len());
    for (at, run) in runs.iter().enumerate() {
        let word = &text[run.1.clone()];
        let before = at.checked_sub(1).is_some_and(|left| is_joined(&runs[left], run));
        let after = runs.get(at + 1).is_some_and(|right| is_joined(run, right));
        let is_left_out = (after && is_elided(word)) || (before && word.chars().count() == 1);
        if !is_left_out {
            kept.push(run.clone());
        }
    }
    kept
}

fn is_elided(word: &str) -> bool {
    word.chars().count() == 1
        || ["qu", "jusqu", "lorsqu", "puisqu", "quoiqu"]
            .iter()
            .any(|elided| word.eq_ignore_ascii_case(elided))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folded(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|token| token.folded).collect()
    }

    #[test]
    fn words_lie_between_what_is_no_letter() {
        assert_eq!(
            folded("Tea, at 5pm? foo_bar week-end"),
            ["tea", "at", "5pm", "foo", "bar", "week", "end"]
        );
        assert_eq!(folded("https://e.example/x"), ["https", "e", "example", "x"]);
        assert_eq!(folded("  …  "), Vec::<String>::new());
    }

    #[test]
    fn an_apostrophe_takes_its_small_half_with_it() {
        assert_eq!(
            folded("l’été qu'il aujourd'hui Ada's can't"),
            ["ete", "il", "aujourd", "hui", "ada", "can"]
        );
        assert_eq!(folded("'n' x"), ["n", "x"]);
    }

    #[test]
    fn a_script_without_spaces_is_pairs_and_a_last_letter() {
        assert_eq!(folded("東京都 tea"), ["東京", "京都", "都", "tea"]);
        assert_eq!(folded("か\u{3099}き"), ["がき", "き"]);
        assert_eq!(folded("한국어"), ["한국", "국어", "어"]);
    }

    #[test]
    fn pictures_are_tokens_without_their_colour_of_skin() {
        assert_eq!(folded("ok👍🏽 👩‍🚀"), ["ok", "👍", "👩", "🚀"]);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_in_order(text in ".{0,200}") {
            let tokens = tokens(&text);
            for (place, token) in tokens.iter().enumerate() {
                prop_assert_eq!(token.position, place);
                prop_assert!(text.get(token.range.clone()).is_some_and(|part| !part.is_empty()));
            }
            prop_assert!(tokens.windows(2).all(|two| two[0].range.start <= two[1].range.start));
        }
    }
}
