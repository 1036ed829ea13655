//! Sessions: opened by a login, kept alive by their refresh secret, ended by a logout or by the misuse of
//! that secret.

use crate::config::Lives;
use crate::error::Error;
use crate::keys::Keys;
use crate::outbox::Outbox;
use crate::rotation::{Chain, RefreshSecret, Salt, Step};
use crate::signals::{Ended, Signals};
use crate::store::{self, Letter, SessionRow, Store};
use protocol::token::Claims;
use protocol::{SessionId, Timestamp, UserId};
use std::sync::Arc;

/// Tries of a renewal that meets another renewal of the same session.
const TRIES_MAX: u32 = 5;

pub struct Sessions {
    pub store: Store,
    pub keys: Arc<Keys>,
    pub outbox: Arc<Outbox>,
    pub signals: Arc<Signals>,
    pub lives: Lives,
}

/// What a browser gets for a login or a renewal.
#[derive(Debug)]
pub struct Grant {
    pub token: String,
    pub token_ends_at: Timestamp,
    pub refresh: Refresh,
}

/// A refresh secret with the session it belongs to, as the cookie carries both: `<session>.<secret>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    pub session: SessionId,
    secret: RefreshSecret,
}

impl Refresh {
    pub fn parse(text: &str) -> Option<Self> {
        let (session, secret) = text.split_once('.')?;
        Some(Self { session: session.parse().ok()?, secret: RefreshSecret::parse(secret)? })
    }

    /// The text for the cookie.
    pub fn expose(&self) -> String {
        format!("{}.{}", self.session, self.secret.expose())
    }
}

impl Sessions {
    /// Opens a session for somebody who has just shown who they are.
    ///
    /// # Errors
    /// Of the database.
    pub async fn open(&self, user: UserId) -> Result<Grant, Error> {
        let now = Timestamp::now();
        let refresh = Refresh { session: SessionId::new(), secret: RefreshSecret::new(random()?) };
        let row = SessionRow {
            user,
            chain: Chain::new(&refresh.secret, now),
            created_at: now,
            expires_at: now.plus_seconds(self.lives.session_s.into()),
        };
        self.store.create_session(refresh.session, &row).await?;
        self.grant(&row, refresh, now)
    }

    /// Renews: a new token, and the refresh secret to use from now on. `None` when the secret is good for
    /// nothing, whatever the reason.
    ///
    /// # Errors
    /// Of the database.
    pub async fn renew(&self, presented: &Refresh) -> Result<Option<Grant>, Error> {
        for _ in 0..TRIES_MAX {
            let now = Timestamp::now();
            let Some(row) = self.live(presented.session, now).await? else { return Ok(None) };
            match row.chain.step(&presented.secret, Salt::new(random()?), now) {
                Step::Keep(secret) => {
                    let refresh = Refresh { session: presented.session, secret };
                    return self.grant(&row, refresh, now).map(Some);
                }
                Step::Rotate(secret, chain) => {
                    let expires_at = now.plus_seconds(self.lives.session_s.into());
                    let old = &row.chain.current;
                    if self.store.rotate_session(presented.session, old, &chain, expires_at).await? {
                        let row = SessionRow { chain, expires_at, ..row };
                        let refresh = Refresh { session: presented.session, secret };
                        return self.grant(&row, refresh, now).map(Some);
                    }
                    // Somebody renewed in between: what was presented is now the secret before.
                }
                Step::Reused => {
                    self.end(presented.session, row.user, Ended::SecretReused).await?;
                    return Ok(None);
                }
                Step::Unknown => return Ok(None),
            }
        }
        Err(Error::Database(store::Error::Conflict))
    }

    /// Ends the session of a refresh secret, if the secret is good.
    ///
    /// # Errors
    /// Of the database.
    pub async fn end_presented(&self, presented: &Refresh, why: Ended) -> Result<(), Error> {
        let now = Timestamp::now();
        let Some(row) = self.live(presented.session, now).await? else { return Ok(()) };
        match row.chain.step(&presented.secret, Salt::new(random()?), now) {
            Step::Unknown => Ok(()),
            Step::Keep(_) | Step::Rotate(..) | Step::Reused => {
                self.end(presented.session, row.user, why).await
            }
        }
    }

    /// Ends a session: it is gone from the database, every gateway is told, and if the broker is away just
    /// now they are told as soon as it is back.
    ///
    /// # Errors
    /// Of the database.
    pub async fn end(&self, session: SessionId, user: UserId, why: Ended) -> Result<(), Error> {
        let now = Timestamp::now();
        let letter = Letter::Revocation { session, user, at: now };
        self.store.end_session(session, &letter, now).await?;
        self.signals.session_ended(session, why);
        self.outbox.send(&letter).await;
        Ok(())
    }

    async fn live(&self, session: SessionId, now: Timestamp) -> Result<Option<SessionRow>, Error> {
        let row = self.store.find_session(session).await?;
        Ok(row.filter(|row| row.expires_at > now))
    }

    fn grant(&self, row: &SessionRow, refresh: Refresh, now: Timestamp) -> Result<Grant, Error> {
        let token_ends_at = now.plus_seconds(self.lives.token_s.into()).min(row.expires_at);
        let claims = Claims {
            user: row.user,
            session: refresh.session,
            issued_at_s: now.as_millis().div_euclid(1000),
            expires_at_s: token_ends_at.as_millis().div_euclid(1000),
        };
        Ok(Grant { token: self.keys.sign(&claims)?, token_ends_at, refresh })
    }
}

fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_cookie_survives_its_text() {
        let refresh = Refresh { session: SessionId::new(), secret: RefreshSecret::new([5; 32]) };
        assert_eq!(Refresh::parse(&refresh.expose()), Some(refresh));
        for bad in [
            "",
            ".",
            "x.y",
            "0195a000-0000-7000-8000-000000000000",
            "0195a000-0000-7000-8000-000000000000.AAAA",
        ] {
            assert_eq!(Refresh::parse(bad), None, "{bad}");
        }
    }
}
