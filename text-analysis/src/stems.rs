//! Stems of words: what `runs` and `running`, `chevaux` and `cheval` have in common.

use crate::fold::fold;
use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;

/// Letters of a word that has a stem, at least.
const LETTERS_MIN: usize = 3;
const LETTERS_MAX: usize = 40;

/// The stems of a word, each behind the letter of its language. French is taken with the accents and without, as people
/// write both. Numbers, short words and other scripts have none.
pub fn stems(word: &str) -> Vec<String> {
    let folded = fold(word);
    let letters = folded.chars().count();
    let is_latin = folded.bytes().all(|byte| byte.is_ascii_lowercase());
    if !is_latin || !(LETTERS_MIN..=LETTERS_MAX).contains(&letters) {
        return Vec::new();
    }
    let (english, french) = (Stemmer::create(Algorithm::English), Stemmer::create(Algorithm::French));
    let mut stems = vec![format!("e{}", english.stem(&folded)), format!("f{}", french.stem(&folded))];
    let lower: String = word.nfc().flat_map(char::to_lowercase).collect();
    if lower != folded {
        let accented = format!("f{}", fold(&french.stem(&lower)));
        if !stems.contains(&accented) {
            stems.push(accented);
        }
    }
    stems
}

#[cfg(test)]
mod tests {
    use super::stems;

    fn share(one: &str, other: &str) -> bool {
        let others = stems(other);
        stems(one).iter().any(|stem| others.contains(stem))
    }

    #[test]
    fn forms_of_a_word_share_a_stem() {
        for (one, other) in [
            ("running", "runs"),
            ("meetings", "meeting"),
            ("Decided", "decides"),
            ("mangées", "manger"),
            ("continuellement", "continuelle"),
            ("Réunions", "reunion"),
            ("amies", "amie"),
        ] {
            assert!(share(one, other), "{one} {other}: {:?} {:?}", stems(one), stems(other));
        }
    }

    #[test]
    fn other_words_and_what_is_no_word_share_none() {
        assert!(!share("tea", "coffee"));
        for none in ["12", "5pm", "ab", "東京", "Ёлка"] {
            assert!(stems(none).is_empty(), "{none}");
        }
    }
}
