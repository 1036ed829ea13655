//! What is looked for, in the terms that an index has, and where it is in a text.

use crate::{
    stems::stems,
    tokens::{Kind, Token, tokens},
};
use protocol::search::Wanted;
use std::ops::Range;

/// One condition. All of a search must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A word in this form or with one of these stems.
    Word { folded: String, stems: Vec<String> },
    /// These tokens, one behind the other.
    Phrase(Vec<String>),
    /// A token that begins so.
    Prefix(String),
}

/// The conditions of a part of a search; none when there is nothing in it to look for.
fn patterns_of(wanted: &Wanted) -> Vec<Pattern> {
    match wanted {
        Wanted::Word(text) | Wanted::Phrase(text) => {
            let is_word = matches!(wanted, Wanted::Word(_));
            match &tokens(text)[..] {
                [] => Vec::new(),
                [only] if only.kind == Kind::Last => vec![Pattern::Prefix(only.folded.clone())],
                [only] if only.kind == Kind::Word && is_word => {
                    vec![Pattern::Word {
                        folded: only.folded.clone(),
                        stems: stems(&text[only.range.clone()]),
                    }]
                }
                several => vec![Pattern::Phrase(followers(several))],
            }
        }
        Wanted::Prefix(text) => {
            let all = tokens(text);
            let Some((last, before)) = all.split_last() else { return Vec::new() };
            match last.kind {
                // Without spaces everything goes on anyway.
                Kind::Pair | Kind::Last => patterns_of(&Wanted::Phrase(text.clone())),
                Kind::Word | Kind::Picture => {
                    let phrase = (!before.is_empty()).then(|| Pattern::Phrase(followers(before)));
                    phrase.into_iter().chain([Pattern::Prefix(last.folded.clone())]).collect()
                }
            }
        }
    }
}

/// The tokens of a phrase: a run that its last letter ends may go on in a text.
fn followers(tokens: &[Token]) -> Vec<String> {
    let tokens = match tokens {
        [before @ .., last]
            if last.kind == Kind::Last && before.last().is_some_and(|it| it.kind == Kind::Pair) =>
        {
            before
        }
        all => all,
    };
    tokens.iter().map(|token| token.folded.clone()).collect()
}

/// All conditions of a search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matcher {
    patterns: Vec<Pattern>,
}

impl Matcher {
    pub fn new(wanted: &[Wanted]) -> Self {
        Self { patterns: wanted.iter().flat_map(patterns_of).collect() }
    }

    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Where the text has what is looked for, in bytes and in its order; `None` when one condition does not hold.
    pub fn find(&self, text: &str) -> Option<Vec<Range<usize>>> {
        let tokens = tokens(text);
        let mut found = Vec::new();
        for pattern in &self.patterns {
            let places = pattern.find(text, &tokens);
            if places.is_empty() {
                return None;
            }
            found.extend(places);
        }
        Some(joined(found))
    }
}

impl Pattern {
    fn find(&self, text: &str, tokens: &[Token]) -> Vec<Range<usize>> {
        let whole = |token: &Token| token.range.clone();
        match self {
            Self::Word { folded, stems: wanted } => {
                let is_it = |token: &&Token| {
                    token.folded == *folded
                        || (token.kind == Kind::Word
                            && stems(&text[token.range.clone()]).iter().any(|stem| wanted.contains(stem)))
                };
                tokens.iter().filter(is_it).map(whole).collect()
            }
            Self::Prefix(prefix) => {
                let is_it = |token: &&Token| token.folded.starts_with(prefix.as_str());
                let shown = |token: &Token| match token.kind {
                    Kind::Pair => token.range.start..first_letter(text, &token.range),
                    _ => token.range.clone(),
                };
                tokens.iter().filter(is_it).map(shown).collect()
            }
            Self::Phrase(phrase) => {
                let follows = |at: usize| {
                    let here = tokens.get(at..at + phrase.len())?;
                    let is_it = here.iter().zip(phrase).all(|(token, wanted)| token.folded == *wanted);
                    is_it.then(|| here[0].range.start..here[here.len() - 1].range.end)
                };
                (0..tokens.len()).filter_map(follows).collect()
            }
        }
    }
}

fn first_letter(text: &str, range: &Range<usize>) -> usize {
    text[range.clone()].chars().next().map_or(range.end, |c| range.start + c.len_utf8())
}

/// In order, without overlaps.
fn joined(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(text: &str) -> Wanted {
        Wanted::Word(text.to_owned())
    }
    fn phrase(text: &str) -> Wanted {
        Wanted::Phrase(text.to_owned())
    }
    fn prefix(text: &str) -> Wanted {
        Wanted::Prefix(text.to_owned())
    }
    fn found<'a>(wanted: &[Wanted], text: &'a str) -> Option<Vec<&'a str>> {
        Matcher::new(wanted).find(text).map(|all| all.into_iter().map(|range| &text[range]).collect())
    }

    #[test]
    fn a_word_is_found_in_any_of_its_forms() {
        assert_eq!(found(&[word("runs")], "I was Running late"), Some(vec!["Running"]));
        assert_eq!(found(&[word("ete")], "cet Été, l’été"), Some(vec!["Été", "été"]));
        assert_eq!(found(&[word("l'été")], "un ete"), Some(vec!["ete"]));
        assert_eq!(found(&[word("tea"), word("milk")], "tea alone"), None);
    }

    #[test]
    fn a_phrase_is_its_words_in_a_row_and_in_these_forms() {
        assert_eq!(found(&[phrase("hot TEA")], "cold hot, tea"), Some(vec!["hot, tea"]));
        assert_eq!(found(&[phrase("hot teas")], "hot tea"), None);
        assert_eq!(found(&[phrase("tea hot")], "hot tea"), None);
        assert_eq!(found(&[word("week-end")], "le week end"), Some(vec!["week end"]));
    }

    #[test]
    fn a_beginning_finds_what_goes_on() {
        assert_eq!(found(&[prefix("pré")], "une Présentation"), Some(vec!["Présentation"]));
        assert_eq!(found(&[prefix("pre")], "impress"), None);
        assert_eq!(found(&[prefix("foo-ba")], "foo bar"), Some(vec!["foo", "bar"]));
    }

    #[test]
    fn scripts_without_spaces_are_found_within() {
        assert_eq!(found(&[word("京都")], "東京都へ"), Some(vec!["京都"]));
        assert_eq!(found(&[word("東京都")], "東京都へ"), Some(vec!["東京都"]));
        assert_eq!(found(&[word("東京都")], "東京と京都"), None);
        for one in ["東", "都", "へ"] {
            assert_eq!(found(&[word(one)], "東京都へ"), Some(vec![one]));
        }
    }

    #[test]
    fn a_picture_is_found_as_it_is() {
        assert_eq!(found(&[word("👍")], "ok 👍🏽!"), Some(vec!["👍"]));
        assert!(Matcher::new(&[word("!?")]).patterns().is_empty());
    }

    proptest! {
        #[test]
        fn every_word_of_a_text_is_found_in_it(text in ".{1,80}") {
            for token in tokens(&text) {
                let wanted = word(&text[token.range.clone()]);
                prop_assert!(Matcher::new(std::slice::from_ref(&wanted)).find(&text).is_some(), "{:?}", token);
            }
        }
    }
}
