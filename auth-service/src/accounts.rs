//! Accounts: made once, and recognised by name and password. Whether a name exists is told by neither answer
//! nor time.

use crate::error::Error;
use crate::hashing::Pool;
use crate::limiter::{Attempt, Limiter};
use crate::names::{Name, lookup_key};
use crate::outbox::Outbox;
use crate::passwords::Password;
use crate::signals::Signals;
use crate::store::{self, Letter, NewAccount, Store};
use crate::vault::Vault;
use protocol::{Timestamp, UserId};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use templates::{FormError, RegisterErrors};

pub struct Accounts {
    store: Store,
    pool: Pool,
    outbox: Arc<Outbox>,
    vault: Arc<Vault>,
    limiter: Limiter,
    signals: Arc<Signals>,
    /// The hash of no password, checked in place of a missing account's.
    nobodys_hash: Arc<str>,
}

/// Why no account was made.
#[derive(Debug, PartialEq, Eq)]
pub enum NotRegistered {
    /// What was typed is to be changed.
    Form(RegisterErrors),
    Failed(Error),
}

impl From<Error> for NotRegistered {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
impl From<crate::hashing::Busy> for NotRegistered {
    fn from(busy: crate::hashing::Busy) -> Self {
        Self::Failed(busy.into())
    }
}
impl From<store::Error> for NotRegistered {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Somebody with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub user: UserId,
    pub name: String,
}

/// What was typed to make an account.
pub struct Registration<'a> {
    pub name: &'a str,
    pub password: &'a str,
    /// The password typed again; `None` for a program, which does not mistype.
    pub repeat: Option<&'a str>,
}

/// What was typed to log in, and from where.
pub struct Login<'a> {
    pub name: &'a str,
    pub password: &'a str,
    pub client: IpAddr,
}

impl Accounts {
    /// # Errors
    /// [`Error::Internal`] when the machine can't hash a password.
    pub async fn start(
        (store, outbox, vault, signals): (Store, Arc<Outbox>, Arc<Vault>, Arc<Signals>),
        pool: Pool,
        login_failures_max: u32,
    ) -> Result<Self, Error> {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes)?;
        let nobodys = Password::typed(&data_encoding::BASE64.encode(&bytes));
        let hash = pool.run(move || nobodys.hash()).await?;
        let hash = hash.map_err(|_| Error::Internal("a password can't be hashed"))?;
        let limiter = Limiter::new(login_failures_max);
        Ok(Self { store, pool, outbox, vault, limiter, signals, nobodys_hash: hash.into() })
    }

    /// Makes an account. The password is judged and hashed before the name is looked for, so that a taken
    /// name takes as long as a free one. Others see the name as soon as the broker has it. The broker gets the person's key first:
    /// without it they could say nothing.
    ///
    /// # Errors
    /// What is wrong with what was typed, or what failed.
    pub async fn register(&self, typed: Registration<'_>) -> Result<Person, NotRegistered> {
        let (name, password) = check(&typed).map_err(|errors| self.refused("invalid", errors))?;
        let started = Instant::now();
        let judged_name = name.clone();
        let judged = self.pool.run(move || password.judge(&judged_name).map(|()| password.hash())).await?;
        self.signals.hashed(started.elapsed());
        let hash = judged.map_err(|error| {
            self.refused("invalid", RegisterErrors { password: Some(error), ..RegisterErrors::default() })
        })?;
        let password_hash = hash.map_err(|_| Error::Internal("a password can't be hashed"))?;
        let new = NewAccount {
            user: UserId::new(),
            name: name.shown().to_owned(),
            name_keys: name.keys().to_vec(),
            password_hash,
            at: Timestamp::now(),
        };
        self.vault.make_persons(new.user).await?;
        let letter = Letter::Profile { user: new.user, name: new.name.clone() };
        match self.store.create_account(&new, &letter).await {
            Ok(()) => {}
            Err(store::Error::Exists) => {
                self.vault.take_back(new.user).await;
                let errors = RegisterErrors { name: Some(FormError::NameTaken), ..RegisterErrors::default() };
                return Err(self.refused("taken", errors));
            }
            Err(error) => return Err(error.into()),
        }
        self.signals.registered(new.user);
        self.outbox.send(&letter).await;
        Ok(Person { user: new.user, name: new.name })
    }

    /// Recognises somebody. `None` for a wrong name or password.
    ///
    /// # Errors
    /// [`Error::TooManyTries`], [`Error::Busy`], or what the database failed with.
    pub async fn recognise(&self, typed: Login<'_>) -> Result<Option<Person>, Error> {
        let key = lookup_key(typed.name);
        let attempt = Attempt::new(key.clone(), typed.client);
        if let Err(wait) = self.limiter.check(&attempt, Instant::now()) {
            self.signals.login_slowed();
            return Err(Error::TooManyTries(wait));
        }
        let account = if key.is_empty() { None } else { self.store.find_account(&key).await? };
        let hash: Arc<str> = match &account {
            Some(account) => account.password_hash.as_str().into(),
            None => Arc::clone(&self.nobodys_hash),
        };
        let password = Password::typed(typed.password);
        let started = Instant::now();
        let right = self.pool.run(move || password.is(&hash)).await?;
        self.signals.hashed(started.elapsed());
        match account.filter(|_| right) {
            Some(account) => {
                self.limiter.succeeded(&attempt);
                Ok(Some(Person { user: account.user, name: account.name }))
            }
            None => {
                self.limiter.failed(attempt, Instant::now());
                self.signals.login_refused();
                Ok(None)
            }
        }
    }

    fn refused(&self, outcome: &'static str, errors: RegisterErrors) -> NotRegistered {
        self.signals.not_registered(outcome);
        NotRegistered::Form(errors)
    }
}

/// Everything about a form that needs neither database nor time.
fn check(typed: &Registration<'_>) -> Result<(Name, Password), RegisterErrors> {
    let name = Name::parse(typed.name);
    let password = Password::typed(typed.password);
    let length = password.check_length();
    let differs = typed.repeat.is_some_and(|repeat| Password::typed(repeat) != password);
    match (name, length, differs) {
        (Ok(name), Ok(()), false) => Ok((name, password)),
        (name, length, differs) => Err(RegisterErrors {
            name: name.err(),
            password: length.err(),
            repeat: differs.then_some(FormError::PasswordsDiffer),
            form: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_says_what_is_wrong_with_it_at_once() {
        let typed = Registration { name: " ", password: "short", repeat: Some("other") };
        let expected = RegisterErrors {
            name: Some(FormError::NameEmpty),
            password: Some(FormError::PasswordTooShort),
            repeat: Some(FormError::PasswordsDiffer),
            form: None,
        };
        assert_eq!(check(&typed).unwrap_err(), expected);
        let typed = Registration { name: "alice", password: "tr0mbone-lagoon", repeat: None };
        assert!(check(&typed).is_ok());
    }
}
