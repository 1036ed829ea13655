//! People's names: which are taken as they are typed, and which look like another's.

use protocol::limits::USER_NAME_CHARS_MAX;
use protocol::text::{fold_spaces, is_direction_control, is_invisible};
use templates::FormError;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategoryGroup, UnicodeEmoji, UnicodeGeneralCategory};

/// Combining marks on one character, at most. Vietnamese and Hebrew need three; more than four climb over the
/// neighbours.
const MARKS_MAX: usize = 4;

/// A name that may be shown as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    shown: String,
    keys: Vec<String>,
}

impl Name {
    /// Reads a name as it was typed: NFC, white space folded, 1 to 32 characters, all of them visible and
    /// none of them turning the text around it.
    ///
    /// # Errors
    /// What the form says about the name.
    pub fn parse(typed: &str) -> Result<Self, FormError> {
        let shown = clean(typed);
        if shown.is_empty() {
            return Err(FormError::NameEmpty);
        }
        if shown.chars().count() > USER_NAME_CHARS_MAX {
            return Err(FormError::NameTooLong);
        }
        if let Some(fault) = fault_in(&shown) {
            return Err(fault);
        }
        let keys = keys_of(&shown);
        if keys.iter().any(String::is_empty) {
            return Err(FormError::NameInvisible);
        }
        Ok(Self { shown, keys })
    }

    /// The name as others see it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What no other name may share: one or two texts that are the same for names which look alike. The first
    /// is the one by which the account is found.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }
}

/// The key under which the account of a typed name would be found. For what can't be a name it finds nothing.
pub fn lookup_key(typed: &str) -> String {
    likeness(&fold_case(&clean(typed)))
}

/// Variation selectors only choose between two drawings of an emoji and go; any other oddity stays, to be
/// refused.
fn clean(typed: &str) -> String {
    let text: String = typed.chars().filter(|c| !matches!(c, '\u{FE0E}' | '\u{FE0F}')).nfc().collect();
    fold_spaces(&text)
}

fn fault_in(name: &str) -> Option<FormError> {
    let mut marks = MARKS_MAX;
    let mut before = None;
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        if is_direction_control(c) {
            return Some(FormError::NameDirection);
        }
        if c.is_control() {
            return Some(FormError::NameControl);
        }
        if is_invisible(c) && !joins_emoji(before, c, rest.peek().copied()) {
            return Some(FormError::NameInvisible);
        }
        // A mark at the start has nothing to sit on.
        marks = if is_mark(c) { marks + 1 } else { 0 };
        if marks > MARKS_MAX {
            return Some(FormError::NameControl);
        }
        before = Some(c);
    }
    None
}

fn is_mark(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}

/// Whether this is the joiner inside an emoji such as 👩‍💻. Anywhere else a joiner is an invisible character.
fn joins_emoji(before: Option<char>, c: char, after: Option<char>) -> bool {
    let emoji = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && c.is_emoji_char());
    c == '\u{200D}' && emoji(before) && emoji(after)
}

/// Two keys, since case hides a likeness in two ways: `ALICE` is `alice` once its case is folded, but `AIice`
/// with a capital i looks like `Alice` only before it is.
fn keys_of(name: &str) -> Vec<String> {
    let mut keys = vec![likeness(&fold_case(name)), likeness(name)];
    keys.dedup();
    keys
}

/// What is the same for all texts that look alike (Unicode's confusable skeleton, UTS #39), whatever their
/// case and spaces.
fn likeness(text: &str) -> String {
    let compatible: String = text.nfkc().collect();
    let skeleton: String = unicode_security::skeleton(&compatible).collect();
    let folded = fold_case(&skeleton);
    // Folding can bring back what the skeleton had replaced, so it is taken once more.
    unicode_security::skeleton(&folded).filter(|c| !c.is_whitespace()).collect()
}

/// Case folding by way of capitals, so that `ß` is `ss` and the two small sigmas are one.
fn fold_case(text: &str) -> String {
    let folded: String = text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    folded.replace("i\u{307}", "i")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(typed: &str) -> FormError {
        Name::parse(typed).expect_err(typed)
    }

    fn alike(one: &str, other: &str) -> bool {
        let (one, other) = (Name::parse(one).unwrap(), Name::parse(other).unwrap());
        one.keys().iter().any(|key| other.keys().contains(key))
    }

    #[test]
    fn names_of_all_scripts_are_taken_as_typed() {
        for name in [
            "alice",
            "Zoë Ångström",
            "Нина",
            "会議室",
            "غرفة",
            "Đặng Thị",
            "שָׁלוֹם",
            "Anna 🙂",
            "Ada 👩‍💻",
            "O'Neil-2",
        ] {
            assert_eq!(Name::parse(name).unwrap().shown(), name);
        }
    }

    #[test]
    fn spaces_around_and_inside_are_folded() {
        assert_eq!(Name::parse(" alice ").unwrap().shown(), "alice");
        assert_eq!(Name::parse("\u{3000}Ann\t \u{a0}Lee\n").unwrap().shown(), "Ann Lee");
    }

    #[test]
    fn a_name_is_kept_in_one_composed_form() {
        assert_eq!(Name::parse("Zoe\u{308}").unwrap(), Name::parse("Zo\u{eb}").unwrap());
    }

    #[test]
    fn a_name_that_shows_nothing_is_refused() {
        assert_eq!(fault(""), FormError::NameEmpty);
        assert_eq!(fault(" \u{2003}\n"), FormError::NameEmpty);
        for blank in [&"\u{200B}".repeat(15), "\u{2800}", "\u{3164}", "\u{AD}", "\u{200D}", "\u{E0041}"] {
            assert_eq!(fault(blank), FormError::NameInvisible, "{blank:?}");
        }
    }

    #[test]
    fn hidden_characters_inside_a_name_are_refused() {
        assert_eq!(fault("al\u{200B}ice"), FormError::NameInvisible);
        assert_eq!(fault("al\u{200D}ice"), FormError::NameInvisible);
        assert_eq!(fault("a\u{E000}b"), FormError::NameInvisible);
        assert_eq!(fault("a\u{378}b"), FormError::NameInvisible);
        assert_eq!(fault("Test\u{F}Member"), FormError::NameControl);
        assert_eq!(fault("a\0b"), FormError::NameControl);
    }

    #[test]
    fn characters_that_turn_the_text_are_refused() {
        for name in ["Bob\u{202E}", "\u{2066}x", "a\u{200F}b", "\u{61C}x"] {
            assert_eq!(fault(name), FormError::NameDirection, "{name:?}");
        }
    }

    #[test]
    fn marks_do_not_pile_up() {
        assert!(Name::parse(&format!("o{}", "\u{30A}".repeat(4))).is_ok());
        assert_eq!(fault(&format!("o{}", "\u{336}".repeat(9))), FormError::NameControl);
        assert_eq!(fault("\u{336}o"), FormError::NameControl);
    }

    #[test]
    fn thirty_two_characters_fit() {
        assert!(Name::parse(&"é".repeat(32)).is_ok());
        assert!(Name::parse(&"e\u{301}".repeat(32)).is_ok());
        assert_eq!(fault(&"é".repeat(33)), FormError::NameTooLong);
    }

    #[test]
    fn look_alikes_share_a_key() {
        for (one, other) in [
            ("alice", "ALICE"),
            ("alice", "\u{430}lice"),
            ("alice", "a l i c e"),
            ("Alice", "AIice"),
            ("alice", "a1ice"),
            ("alice", "ａｌｉｃｅ"),
            ("alice", "\u{1D51E}lice"),
            ("modern", "rnodern"),
            ("Straße", "STRASSE"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("İpek", "ipek"),
            ("Bob", "В\u{43E}Ь"),
            ("paypal", "раураl"),
            ("Anna \u{2764}", "Anna \u{2764}\u{FE0F}"),
        ] {
            assert!(alike(one, other), "{one} and {other} look alike");
        }
    }

    #[test]
    fn different_names_share_none() {
        for (one, other) in
            [("alice", "alicia"), ("Zoe", "Zoë"), ("bob", "rob"), ("user 7", "user 8"), ("会議", "会议")]
        {
            assert!(!alike(one, other), "{one} and {other} differ");
        }
    }

    #[test]
    fn an_account_is_found_whatever_the_case() {
        let name = Name::parse("Alice B").unwrap();
        for typed in ["alice b", " ALICE  B ", "AliceB"] {
            assert_eq!(lookup_key(typed), name.keys()[0]);
        }
    }
}
