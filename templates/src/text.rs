//! Text as people write it, made safe and pleasant to show.

use unicode_properties::UnicodeEmoji;

/// How many avatar colours `static/app.css` defines.
const COLOURS: u32 = 8;

/// Which avatar colour belongs to an id: always the same one for the same id.
pub(crate) fn colour_of(id: &str) -> u8 {
    let hash =
        id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    u8::try_from((hash ^ (hash >> 16)) % COLOURS).unwrap_or_default()
}

/// One or two characters that stand for a name.
pub(crate) fn initials(name: &str) -> String {
    let words = name.split(|c: char| c.is_whitespace() || c == '-' || c == '_' || c == '.');
    let firsts: String =
        words.filter_map(|word| word.chars().find(|c| c.is_alphanumeric())).take(2).collect();
    if firsts.is_empty() {
        return name.chars().take(1).collect();
    }
    firsts.to_uppercase()
}

/// Whether a text is a few emoji and nothing else, which are shown larger.
pub(crate) fn is_emoji_only(text: &str) -> bool {
    const EMOJI_CHARS_MAX: usize = 32;
    let mut pictures = 0;
    for (index, c) in text.chars().enumerate() {
        if index >= EMOJI_CHARS_MAX {
            return false;
        }
        let joins = matches!(c, '\u{200D}' | '\u{FE0F}');
        if c.is_emoji_char() && !c.is_ascii() {
            pictures += 1;
        } else if !c.is_whitespace() && !joins {
            return false;
        }
    }
    pictures > 0
}

/// Whether a text is so long that the page folds it.
pub(crate) fn is_long(text: &str) -> bool {
    const LINES_MAX: usize = 20;
    const CHARS_MAX: usize = 1_500;
    text.bytes().filter(|byte| *byte == b'\n').count() > LINES_MAX || text.chars().count() > CHARS_MAX
}

/// A message's text as HTML: everything escaped, web addresses made links.
pub(crate) fn body_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + text.len() / 8);
    let mut rest = text;
    while let Some(start) = find_address(rest) {
        let (before, from) = rest.split_at(start);
        let (address, after) = from.split_at(address_len(from));
        push_escaped(&mut html, before);
        push_link(&mut html, address);
        rest = after;
    }
    push_escaped(&mut html, rest);
    html
}

fn push_link(html: &mut String, address: &str) {
    html.push_str("<a href=\"");
    push_escaped(html, address);
    html.push_str("\" rel=\"noopener noreferrer nofollow\" target=\"_blank\">");
    push_escaped(html, address);
    html.push_str("</a>");
}

fn push_escaped(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // A parser would turn a bare carriage return into a line feed.
            '\r' => html.push_str("&#13;"),
            _ => html.push(c),
        }
    }
}

/// Where the next `http://` or `https://` with something behind it begins, if it
/// stands at the start of a word.
fn find_address(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find("http") {
        let start = from + found;
        let starts_word = text[..start].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        if starts_word && address_len(&text[start..]) > 0 {
            return Some(start);
        }
        from = start + "http".len();
    }
    None
}

/// How many bytes of `text` are a web address; 0 when it is none.
fn address_len(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return 0;
    };
    let scheme_len = text.len() - rest.len();
    let end = rest.find(ends_address).unwrap_or(rest.len());
    let host_and_path = without_trailing_punctuation(&rest[..end]);
    if !host_and_path.starts_with(char::is_alphanumeric) && !host_and_path.starts_with('[') {
        return 0;
    }
    scheme_len + host_and_path.len()
}

fn ends_address(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | '\'' | '`' | '\\')
}

/// Leaves out what more likely belongs to the sentence than to the address.
fn without_trailing_punctuation(address: &str) -> &str {
    let mut kept = address;
    loop {
        let shorter = kept.trim_end_matches(['.', ',', ';', ':', '!', '?', '…', '»', '”', '’']);
        let shorter = match shorter.strip_suffix(')') {
            Some(inner) if !inner.contains('(') => inner,
            _ => shorter,
        };
        if shorter.len() == kept.len() {
            return kept;
        }
        kept = shorter;
    }
}

#[cfg(test)]
mod tests {
    use super::{body_html, colour_of, initials, is_emoji_only, is_long};

    #[test]
    fn markup_in_a_message_is_text() {
        let html = body_html("<script>document.title=\"x\"</script><svg/onload='y'>&amp;");
        assert!(!html.contains('<'));
        assert!(html.starts_with("&lt;script&gt;"));
        assert!(html.ends_with("&amp;amp;"));
    }

    #[test]
    fn a_web_address_becomes_a_link_that_knows_nothing_of_us() {
        assert_eq!(
            body_html("see https://e.example/a?b=1&c=2."),
            "see <a href=\"https://e.example/a?b=1&amp;c=2\" \
             rel=\"noopener noreferrer nofollow\" target=\"_blank\">\
             https://e.example/a?b=1&amp;c=2</a>."
        );
    }

    #[test]
    fn an_address_cannot_leave_its_attribute() {
        let html = body_html("https://e.example/\"onmouseover=\"document.title='x'");
        assert!(html.starts_with("<a href=\"https://e.example/\" rel="));
        assert!(html.contains("&quot;onmouseover=&quot;"));
    }

    #[test]
    fn only_web_addresses_become_links() {
        for text in [
            "[a](javascript:document.title=\"x\")",
            "data:text/html,x",
            "http:",
            "https://",
            "xhttps://e.example",
            "https:///x",
            "HTTPS://javascript",
        ] {
            assert!(!body_html(text).contains("<a "), "{text}");
        }
    }

    #[test]
    fn brackets_around_an_address_stay_outside_and_inside_they_stay_in() {
        assert!(body_html("(https://e.example/x)").contains("\">https://e.example/x</a>)"));
        assert!(body_html("https://e.example/a_(b)").contains("href=\"https://e.example/a_(b)\""));
    }

    #[test]
    fn lines_and_indents_are_kept() {
        assert_eq!(body_html("x\n    y\tz"), "x\n    y\tz");
    }

    #[test]
    fn initials_are_the_first_letters_of_two_words() {
        assert_eq!(initials("ada lovelace king"), "AL");
        assert_eq!(initials("zoë"), "Z");
        assert_eq!(initials("会議室"), "会");
        assert_eq!(initials("🙂🙂"), "🙂");
    }

    #[test]
    fn a_colour_is_stable_and_within_range() {
        assert_eq!(colour_of("a"), colour_of("a"));
        assert!((0..100).all(|n: u32| colour_of(&n.to_string()) < 8));
    }

    #[test]
    fn emoji_alone_are_told_from_text_and_digits() {
        assert!(is_emoji_only("👍🏽 🎉"));
        assert!(is_emoji_only("👩‍🚀❤️"));
        for text in ["123", "ok 👍", "", "  ", "#", "©x"] {
            assert!(!is_emoji_only(text), "{text}");
        }
    }

    #[test]
    fn a_long_message_is_long_by_lines_or_by_characters() {
        assert!(is_long(&"a\n".repeat(21)));
        assert!(is_long(&"é".repeat(1_501)));
        assert!(!is_long(&"é".repeat(1_500)));
    }
}
