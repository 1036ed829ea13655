//! Paths that come from outside and are to be gone to: ours and nothing else.

use std::fmt::Write;

/// The longest path that is taken along, in bytes.
const PATH_BYTES_MAX: usize = 2_000;

/// The home page.
pub const HOME: &str = "/";

/// A path of this site, plain ASCII, safe in a `Location` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next(String);

impl Next {
    /// Takes the path that was asked for, or home in place of anything that is not one of ours: another host
    /// in any of the spellings that browsers understand, control characters.
    pub fn back_to(asked: &str) -> Self {
        let path = is_own(asked).then(|| ascii(asked)).filter(|path| path.len() <= PATH_BYTES_MAX);
        Self(path.unwrap_or_else(|| HOME.to_owned()))
    }

    /// The same for somebody who has just logged in, and so never a page of the login itself.
    pub fn of(asked: Option<&str>) -> Self {
        Self::back_to(asked.filter(|path| !is_login(path)).unwrap_or(HOME))
    }

    pub fn path(&self) -> &str {
        &self.0
    }

    /// The path for a form's hidden field: empty when it is home.
    pub fn field(&self) -> &str {
        if self.0 == HOME { "" } else { &self.0 }
    }

    /// The path as the value of a query.
    pub fn query_value(&self) -> String {
        encode(&self.0, |byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte))
    }
}

fn is_own(path: &str) -> bool {
    let rooted = path.starts_with('/') && !path[1..].starts_with('/');
    // A backslash is a slash to browsers, and they drop tabs and line breaks before they look.
    let plain = !path.chars().any(|c| c == '\\' || c.is_control());
    rooted && plain && path.len() <= PATH_BYTES_MAX
}

fn is_login(path: &str) -> bool {
    path == "/auth" || path.starts_with("/auth/") || path.starts_with("/auth?")
}

fn ascii(path: &str) -> String {
    encode(path, |byte| byte.is_ascii_graphic())
}

fn encode(text: &str, plain: impl Fn(u8) -> bool) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string does not fail");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_paths_are_kept() {
        for path in ["/", "/room/tea_x7qa/", "/join/?code=a_b", "/room/a/?after=1#m", "/authors/"] {
            assert_eq!(Next::of(Some(path)).path(), path);
        }
        assert_eq!(Next::of(Some("/room/é /")).path(), "/room/%C3%A9%20/");
    }

    #[test]
    fn other_sites_and_the_login_itself_are_not() {
        for path in [
            "",
            "x",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil",
            "https://evil.example/",
            "javascript:alert(1)",
            "/\t/evil",
            "/a\r\nSet-Cookie: x=1",
            "/auth/logout/",
            "/auth",
            "/auth?x",
            " /x",
            "///x",
            "/a\\b",
        ] {
            assert_eq!(Next::of(Some(path)).path(), "/", "{path:?}");
        }
        assert_eq!(Next::of(Some(&"/a".repeat(2_000))).path(), "/");
        assert_eq!(Next::of(Some(&"/é".repeat(600))).path(), "/", "it is longer in ASCII");
        assert_eq!(Next::of(None).path(), "/");
    }

    #[test]
    fn a_path_survives_as_a_querys_value() {
        assert_eq!(Next::of(Some("/join/?code=a&b#c")).query_value(), "/join/%3Fcode%3Da%26b%23c");
        assert_eq!(Next::of(None).field(), "");
    }
}
