//! Reactions: one emoji each.

use crate::limits;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::fmt;
use unicode_properties::UnicodeEmoji;
use unicode_segmentation::UnicodeSegmentation;

/// One emoji, as a person sees one: with its skin tone, its joined parts, both letters of a flag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Reaction(String);

/// The text is not one emoji.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOneEmoji;

impl Reaction {
    /// Reads a reaction.
    ///
    /// # Errors
    /// [`NotOneEmoji`] unless the text is one grapheme (Unicode Annex 29) of at most [`limits::REACTION_BYTES_MAX`] bytes
    /// that is drawn as a picture.
    pub fn parse(text: &str) -> Result<Self, NotOneEmoji> {
        let is_picture = text.chars().any(|c| (c.is_emoji_char() && !c.is_ascii()) || c == '\u{20E3}');
        let is_one = text.len() <= limits::REACTION_BYTES_MAX && text.graphemes(true).take(2).count() == 1;
        let is_plain = text.chars().all(|c| c.is_emoji_char() || is_joint(c));
        if is_one && is_picture && is_plain { Ok(Self(text.to_owned())) } else { Err(NotOneEmoji) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What joins the parts of an emoji: joiner, variation selector, keycap, tags of regional flags.
const fn is_joint(c: char) -> bool {
    matches!(c, '\u{200D}' | '\u{FE0F}' | '\u{20E3}' | '\u{E0020}'..='\u{E007F}')
}

impl fmt::Display for NotOneEmoji {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not one emoji")
    }
}
impl std::error::Error for NotOneEmoji {}

impl<'de> Deserialize<'de> for Reaction {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reaction_is_one_emoji() {
        for one in ["👍", "👍🏽", "❤️", "👩‍🚀", "👨‍👩‍👧‍👦", "🇫🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "🎉"]
        {
            assert!(Reaction::parse(one).is_ok(), "{one}");
        }
        for other in
            ["", " ", "a", "1", "👍👍", "👍x", "<b>", "\u{200D}", "🇫🇷🇫🇷", "👍\u{301}\u{301}", "e\u{301}"]
        {
            assert!(Reaction::parse(other).is_err(), "{other:?}");
        }
    }
}
