//! A text that must not be shown.

use std::fmt;

/// What stands in the place of a secret.
pub(super) const SECRET: &str = "(secret)";

/// A password, key or token from the configuration. `Debug` hides it, and there is no `Display`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text that must not be shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_empty() { "Secret(none)" } else { "Secret(hidden)" })
    }
}

/// A text as it may be shown: the password of each address in it (`nats://user:password@host`) is not.
#[must_use]
pub fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme_end) = rest.find("://").map(|at| at + 3) {
        let (before, address) = rest.split_at(scheme_end);
        shown.push_str(before);
        // A password may hold anything, so it reaches to the last @ before another address begins.
        let of_this_one = address.find("://").unwrap_or(address.len());
        let login_end = address[..of_this_one].rfind('@').unwrap_or(0);
        let (login, after) = address.split_at(login_end);
        match login.split_once(':') {
            Some((user, _)) => shown.extend([user, ":", SECRET]),
            // A single word is a token.
            None if !login.is_empty() => shown.push_str(SECRET),
            None => {}
        }
        rest = after;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (text, shown) in [
            ("nats://ann:pass@host:4222", "nats://ann:(secret)@host:4222"),
            ("nats://ann:p/a:s@s@host", "nats://ann:(secret)@host"),
            ("nats://a:1@x:4222,tls://b:2@y:4222", "nats://a:(secret)@x:4222,tls://b:(secret)@y:4222"),
            ("0-3=ws://u:p@h:8000/n/d?ca=x", "0-3=ws://u:(secret)@h:8000/n/d?ca=x"),
            ("nats://token@host", "nats://(secret)@host"),
            ("https://chat.example", "https://chat.example"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("", ""),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
