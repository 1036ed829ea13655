//! The cookies of a session: their names, and how they are read.
//!
//! Under TLS the names have the prefixes that browsers guard: what is called `__Host-…` can only have been
//! set by this host, over TLS, for all its paths. Both names are read, the guarded one first.

const TOKEN: &str = "backchat_token";
const TOKEN_SECURE: &str = "__Host-backchat_token";
const REFRESH: &str = "backchat_refresh";
const REFRESH_SECURE: &str = "__Secure-backchat_refresh";

/// The path to which the refresh secret is sent, and no further.
pub const REFRESH_PATH: &str = "/auth/";

/// The name of the cookie that carries the session token.
pub const fn token_name(secure: bool) -> &'static str {
    if secure { TOKEN_SECURE } else { TOKEN }
}

/// The name of the cookie that carries the refresh secret.
pub const fn refresh_name(secure: bool) -> &'static str {
    if secure { REFRESH_SECURE } else { REFRESH }
}

/// The session token in a `Cookie` header, under either name.
pub fn token_of(cookie_header: &str) -> Option<&str> {
    value_of(cookie_header, TOKEN_SECURE).or_else(|| value_of(cookie_header, TOKEN))
}

/// The refresh secret in a `Cookie` header, under either name.
pub fn refresh_of(cookie_header: &str) -> Option<&str> {
    value_of(cookie_header, REFRESH_SECURE).or_else(|| value_of(cookie_header, REFRESH))
}

/// The value of the first cookie of that name in a `Cookie` header, if it is not empty.
pub fn value_of<'a>(cookie_header: &'a str, name: &str) -> Option<&'a str> {
    cookie_header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, value)| *found == name && !value.is_empty())
        .map(|(_, value)| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_under_both_names_and_the_guarded_one_wins() {
        assert_eq!(token_of("lang=fr; backchat_token=a.b.c"), Some("a.b.c"));
        assert_eq!(token_of("backchat_token=planted;__Host-backchat_token=ours"), Some("ours"));
        assert_eq!(refresh_of("__Secure-backchat_refresh=r; backchat_token=t"), Some("r"));
    }

    #[test]
    fn what_is_no_token_is_not_taken_for_one() {
        for header in
            ["", ";;", "backchat_token", "backchat_token=", "xbackchat_token=a", "backchat_token2=a", "=a"]
        {
            assert_eq!(token_of(header), None, "{header:?}");
        }
    }
}
