//! Which language a person reads.

use crate::words::{EN, FR, Words};

/// A language that the pages are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lang {
    En,
    Fr,
}

impl Lang {
    /// Every language, in the order in which the switch shows them.
    pub const ALL: [Lang; 2] = [Lang::En, Lang::Fr];

    /// The name of the cookie that keeps a person's choice.
    pub const COOKIE: &'static str = "lang";

    /// The language for a request: the cookie's choice, else the best of
    /// `Accept-Language`, else English. Never fails: what it cannot read it skips.
    #[must_use]
    pub fn negotiate(cookie: Option<&str>, accept_language: Option<&str>) -> Lang {
        cookie
            .and_then(Lang::from_code)
            .or_else(|| accept_language.and_then(best_accepted))
            .unwrap_or(Lang::En)
    }

    /// Reads a language code such as `fr` or `fr-CA`.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Lang> {
        let primary = code.trim().split(['-', '_']).next().unwrap_or_default();
        Lang::ALL.into_iter().find(|lang| lang.code().eq_ignore_ascii_case(primary))
    }

    /// The code for the `lang` attribute and the cookie.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Fr => "fr",
        }
    }

    /// The language's own name for itself.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Lang::En => "English",
            Lang::Fr => "Français",
        }
    }

    /// The words of this language.
    #[must_use]
    pub fn words(self) -> &'static Words {
        match self {
            Lang::En => &EN,
            Lang::Fr => &FR,
        }
    }
}

/// The known language with the highest weight; the first one wins a tie.
fn best_accepted(header: &str) -> Option<Lang> {
    let mut best: Option<(Lang, f32)> = None;
    for item in header.split(',').take(32) {
        let mut parts = item.split(';');
        let Some(lang) = parts.next().and_then(Lang::from_code) else {
            continue;
        };
        let weight = parts
            .find_map(|part| part.trim().strip_prefix("q="))
            .map_or(1.0, |value| value.trim().parse().unwrap_or(0.0));
        if weight > 0.0 && best.is_none_or(|(_, highest)| weight > highest) {
            best = Some((lang, weight));
        }
    }
    best.map(|(lang, _)| lang)
}

#[cfg(test)]
mod tests {
    use super::Lang;

    #[test]
    fn the_cookie_wins_over_the_browsers_languages() {
        assert_eq!(Lang::negotiate(Some("fr"), Some("en")), Lang::Fr);
        assert_eq!(Lang::negotiate(Some("xx"), Some("fr")), Lang::Fr);
    }

    #[test]
    fn the_highest_weight_of_a_known_language_wins() {
        let accept = "de-DE, en;q=0.5, fr-CA;q=0.8";
        assert_eq!(Lang::negotiate(None, Some(accept)), Lang::Fr);
        assert_eq!(Lang::negotiate(None, Some("fr;q=0, en;q=0.1")), Lang::En);
    }

    #[test]
    fn english_is_spoken_when_nothing_is_known() {
        for accept in [None, Some(""), Some("de"), Some(";;q=,"), Some("*")] {
            assert_eq!(Lang::negotiate(None, accept), Lang::En);
        }
    }
}
