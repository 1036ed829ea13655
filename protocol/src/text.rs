//! What a person can see of a text.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Whether nothing of the text can be seen: white space, control and format characters, and
/// letters that are drawn as nothing.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_invisible(c))
}

/// Whether a character is drawn as nothing at all. White space is not meant; joiners inside words
/// and emoji are, since alone they show nothing.
pub fn is_invisible(c: char) -> bool {
    let drawn_blank =
        matches!(c, '\u{2800}' | '\u{3164}' | '\u{FFA0}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}');
    let selector = matches!(c, '\u{034F}' | '\u{180B}'..='\u{180F}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0000}'..='\u{E0FFF}');
    let category = c.general_category();
    drawn_blank
        || selector
        || matches!(
            category,
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::Surrogate
                | GeneralCategory::PrivateUse
                | GeneralCategory::Unassigned
        )
}

/// Whether a character turns the direction of the text around it (Unicode's bidirectional controls).
pub const fn is_direction_control(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text with runs of white space folded into one space and none at its ends, as names are kept.
pub fn fold_spaces(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
