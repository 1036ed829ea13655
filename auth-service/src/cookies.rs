//! The cookies that a browser is given. Their names and how they are read: `protocol::cookie`.

use protocol::cookie::{REFRESH_PATH, refresh_name, token_name};

/// How the cookies of this installation are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookies {
    /// Whether people come over TLS: the cookies then have guarded names and never travel in the open.
    pub secure: bool,
    /// How long the browser keeps them, in seconds. The token's cookie is kept as long as the refresh secret
    /// though its token ends much earlier: who comes with an ended token was logged in.
    pub life_s: u32,
}

impl Cookies {
    /// The `Set-Cookie` values of a new token and refresh secret.
    pub fn set(self, token: &str, refresh: &str) -> [String; 2] {
        [
            self.cookie(token_name(self.secure), token, "/", self.life_s),
            self.cookie(refresh_name(self.secure), refresh, REFRESH_PATH, self.life_s),
        ]
    }

    /// The `Set-Cookie` values that take both away.
    pub fn clear(self) -> [String; 2] {
        [
            self.cookie(token_name(self.secure), "", "/", 0),
            self.cookie(refresh_name(self.secure), "", REFRESH_PATH, 0),
        ]
    }

    fn cookie(self, name: &str, value: &str, path: &str, max_age_s: u32) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{name}={value}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_open_the_names_are_plain() {
        let [token, refresh] = Cookies { secure: false, life_s: 60 }.set("t", "r");
        assert_eq!(token, "backchat_token=t; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        assert_eq!(refresh, "backchat_refresh=r; Path=/auth/; Max-Age=60; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn under_tls_the_names_are_guarded_and_the_cookies_secure() {
        let [token, refresh] = Cookies { secure: true, life_s: 60 }.set("t", "r");
        assert_eq!(token, "__Host-backchat_token=t; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(
            refresh,
            "__Secure-backchat_refresh=r; Path=/auth/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
        );
    }

    #[test]
    fn logging_out_ends_both() {
        for cookie in (Cookies { secure: true, life_s: 60 }).clear() {
            assert!(cookie.contains("=; ") && cookie.contains("Max-Age=0"), "{cookie}");
        }
    }
}
