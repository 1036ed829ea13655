//! One form for all ways to write a letter.

use unicode_normalization::UnicodeNormalization;

/// Accents of Latin, Greek and Cyrillic letters. Marks that make another letter (of kana, of Indic scripts) are not among them.
const ACCENTS: std::ops::RangeInclusive<char> = '\u{300}'..='\u{36f}';

/// The text without case, accents, ligatures and widths.
pub fn fold(text: &str) -> String {
    let folded = text.nfkd().filter(|c| !ACCENTS.contains(c)).flat_map(char::to_lowercase).nfc();
    let mut all = String::with_capacity(text.len());
    for c in folded {
        match spelled_out(c) {
            Some(letters) => all.push_str(letters),
            None => all.push(c),
        }
    }
    all
}

/// Letters that no decomposition takes apart.
const fn spelled_out(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ł' => "l",
        'ħ' => "h",
        'ı' => "i",
        'þ' => "th",
        'ς' => "σ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn case_accents_and_ligatures_are_one() {
        for (text, folded) in [
            ("Été", "ete"),
            ("E\u{301}TE\u{301}", "ete"),
            ("Œuvre", "oeuvre"),
            ("STRASSE", fold("straße").as_str()),
            ("ﬁn", "fin"),
            ("Ｔｅａ", "tea"),
            ("İstanbul", "istanbul"),
            ("Ἀθήνα", "αθηνα"),
            ("Ёлка", "елка"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn marks_that_make_another_letter_stay() {
        assert_ne!(fold("が"), fold("か"));
        assert_eq!(fold("か\u{3099}"), "が");
        assert_eq!(fold("ｶﾞ"), "ガ");
        assert_eq!(fold("한국"), "한국");
        assert_eq!(fold("한국"), "한국");
    }
}
