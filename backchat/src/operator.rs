//! Asking the running backchat, as its operator.

use std::time::Duration;

use broker::Broker;
use protocol::keys::{KeyAdmin, KeyAdminAnswer, KeyStatus};
use protocol::subject;

use crate::ground::fault;
use crate::{Config, Error, run_file};

/// How long the broker of the running backchat, and one answer, is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Operator {
    broker: Broker,
}

impl Operator {
    /// Connects to the backchat that runs with the data folder, or to the broker that is named.
    ///
    /// # Errors
    /// When none runs, here and below; [`Error::Broker`].
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let credentials = match &config.broker {
            Some(apart) => apart.clone(),
            None => run_file::read(&config.data)?,
        };
        Ok(Self { broker: Broker::connect(&credentials, PATIENCE).await.map_err(fault)? })
    }

    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    pub async fn ask(&self, question: &KeyAdmin) -> Result<KeyAdminAnswer, Error> {
        match self.broker.ask(subject::KEY_ADMIN.into(), question, PATIENCE).await {
            Ok(KeyAdminAnswer::Refused { reason }) => Err(Error::Refused(reason)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(Error::Refused(format!("the auth service does not answer: {error}"))),
        }
    }

    /// How many people and rooms are being erased.
    pub async fn erasing(&self) -> Result<u64, Error> {
        match self.ask(&KeyAdmin::Erasing).await? {
            KeyAdminAnswer::Erasing { holders } => Ok(holders),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn status(&self) -> Result<KeyStatus, Error> {
        match self.ask(&KeyAdmin::Status).await? {
            KeyAdminAnswer::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }
}

/// An answer of another kind than the question.
pub fn unexpected(answer: &KeyAdminAnswer) -> Error {
    Error::Refused(format!("the auth service answers {answer:?}"))
}
