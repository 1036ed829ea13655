//! A room's address, made from its name.

use protocol::{RoomSlug, limits};
use unicode_properties::{GeneralCategoryGroup, UnicodeEmoji, UnicodeGeneralCategory};

/// Why a text is no room name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadName {
    Empty,
    TooLong,
    /// Nothing in it is a letter, a digit or an emoji.
    SymbolsAlone,
    /// A control character, or one that turns the direction of the text around it.
    Unseen,
}

/// Bytes of a slug that come from the name, at most; the suffix follows.
const STEM_BYTES_MAX: usize = 40;
/// Characters of the suffix: 36⁴ ≈ 1.7 million addresses for each name.
const SUFFIX_CHARS: usize = 4;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Takes a room's name as a person typed it.
///
/// # Errors
/// [`BadName`].
pub fn room_name(typed: &str) -> Result<String, BadName> {
    let unseen = |c: char| c.is_control() || protocol::text::is_direction_control(c);
    if typed.trim().chars().any(unseen) {
        return Err(BadName::Unseen);
    }
    let name = protocol::text::fold_spaces(typed);
    if protocol::text::is_blank(&name) {
        return Err(BadName::Empty);
    }
    if name.chars().count() > limits::ROOM_NAME_CHARS_MAX {
        return Err(BadName::TooLong);
    }
    if name.chars().any(|c| is_word(c) || is_emoji(c)) { Ok(name) } else { Err(BadName::SymbolsAlone) }
}

/// An address for a room of this name, with a new random suffix at each call.
pub fn slug(name: &str) -> RoomSlug {
    let mut random = [0_u8; SUFFIX_CHARS];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    let suffix: String =
        random.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect();
    RoomSlug::parse(&format!("{}_{suffix}", stem(name))).expect("a stem and a suffix are a slug")
}

/// The name in Latin letters and digits, words joined by `_`; `room` when no letter of it can be written so.
fn stem(name: &str) -> String {
    let words: String = name.chars().map(|c| if is_word(c) { c } else { ' ' }).collect();
    let latin = deunicode::deunicode(&words).to_ascii_lowercase();
    let mut stem = String::new();
    for word in latin.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let room = STEM_BYTES_MAX.saturating_sub(stem.len() + usize::from(!stem.is_empty()));
        if room == 0 {
            break;
        }
        if !stem.is_empty() {
            stem.push('_');
        }
        stem.extend(word.chars().take(room));
    }
    if stem.is_empty() { "room".into() } else { stem }
}

/// Letters, digits, and the marks that belong to them.
fn is_word(c: char) -> bool {
    use GeneralCategoryGroup::{Letter, Mark, Number};
    matches!(c.general_category_group(), Letter | Mark | Number)
}

/// Emoji that are pictures: `#`, `*` and digits are emoji to Unicode, too.
fn is_emoji(c: char) -> bool {
    !c.is_ascii() && c.is_emoji_char()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stem_of(name: &str) -> String {
        stem(&room_name(name).unwrap())
    }

    #[test]
    fn a_name_in_any_script_gives_a_readable_address() {
        for (name, expected) in [
            ("été", "ete"),
            ("Résumé", "resume"),
            ("Ünïcödé Straße", "unicode_strasse"),
            ("общий чат", "obshchii_chat"),
            ("会議室", "hui_yi_shi"),
            ("🙂🙂", "room"),
            ("Tea 🍵 & talk", "tea_talk"),
        ] {
            assert_eq!(stem_of(name), expected, "{name}");
        }
        let arabic = stem_of("غرفة");
        assert!(
            arabic != "room" && arabic.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            "{arabic}"
        );
    }

    #[test]
    fn a_slug_is_valid_for_every_name() {
        for name in ["x", "ab ".repeat(20).as_str(), "会".repeat(60).as_str(), "İ", "ß", "٣", "…a"] {
            let slug = slug(&room_name(name).unwrap());
            assert!(slug.as_str().len() <= limits::SLUG_BYTES_MAX, "{slug}");
        }
    }

    #[test]
    fn what_is_no_name_says_why() {
        assert_eq!(room_name("---"), Err(BadName::SymbolsAlone));
        assert_eq!(room_name("#*!"), Err(BadName::SymbolsAlone));
        assert_eq!(room_name(" \u{200B} "), Err(BadName::Empty));
        assert_eq!(room_name(""), Err(BadName::Empty));
        assert_eq!(room_name("a\u{202E}b"), Err(BadName::Unseen));
        assert_eq!(room_name("a\u{0}b"), Err(BadName::Unseen));
        assert_eq!(room_name(&"x".repeat(61)), Err(BadName::TooLong));
        assert_eq!(room_name("  a   b "), Ok("a b".into()));
    }
}
