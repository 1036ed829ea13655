//! `backchat doctor`: looks at everything that a chat needs, and says what is wrong and what to type. It changes nothing, and every
//! check has an end.

mod broker;
pub mod certificates;
mod clock;
mod database;
mod edge;
pub mod finding;
mod machine;
pub mod place;
mod services;
mod settings;
mod streams;

use std::time::Duration;

use ::broker::{Credentials, USERS};
use protocol::subject;
use service::origin::PublicOrigin;
use service::probe;

use crate::run_file::{self, Running};
use crate::{Config, Error, roots};

use finding::{Finding, within};

/// Longest time for all checks of one kind.
const CHECKS_MAX: Duration = Duration::from_secs(60);

/// Looks at the backchat on the data folder, or at the pieces whose addresses are given, and says all it found.
///
/// # Errors
/// [`Error::Faults`] when something is wrong.
pub async fn examine(config: &Config) -> Result<(), Error> {
    let mut findings = settings::examine(config);
    findings.extend(if config.apart.is_asked_for(config) {
        Box::pin(pieces(config)).await
    } else {
        Box::pin(single_node(config)).await
    });
    match finding::tell(&findings) {
        0 => Ok(()),
        faults => Err(Error::Faults(faults)),
    }
}

/// Services that run apart: what the addresses lead to.
async fn pieces(config: &Config) -> Vec<Finding> {
    let broker = async |findings: &mut Vec<Finding>| {
        if let Some(credentials) = &config.broker {
            broker::examine(&as_itself(credentials), findings).await;
        }
    };
    let databases = async |findings: &mut Vec<Finding>| database::examine_all(&config.apart, findings).await;
    let edge = async |findings: &mut Vec<Finding>| {
        if let Some(origin) = &config.apart.origin {
            edge::examine(origin, &config.apart, findings).await;
        }
    };
    let (mut findings, databases, edge) = tokio::join!(
        within(CHECKS_MAX, broker::ABOUT, broker),
        within(CHECKS_MAX, database::ABOUT, databases),
        within(CHECKS_MAX, edge::ABOUT, edge),
    );
    findings.extend(databases);
    findings.extend(edge);
    findings
}

/// The user of a service asks as that service: its answers come to an inbox of its own.
fn as_itself(credentials: &Credentials) -> Credentials {
    let service = USERS.into_iter().find(|user| Some(*user) == credentials.user.as_deref());
    let name = service.map_or_else(|| credentials.name.clone(), str::to_owned);
    Credentials { name, ..credentials.clone() }
}

async fn single_node(config: &Config) -> Vec<Finding> {
    let mut findings = machine::examine(config);
    match run_file::running(&config.data) {
        Some(running) => {
            findings.extend(Box::pin(running_one(config, &running)).await);
        }
        None => {
            let found = format!(
                "no backchat runs with the data folder {}: what only a running one has was not looked at",
                config.data.display()
            );
            let remedy = format!("start it with `backchat --data {}`, and ask again", config.data.display());
            findings.push(Finding::warning(services::ABOUT, found, remedy));
            findings.extend(machine::examine_before_start(config).await);
        }
    }
    findings
}

async fn running_one(config: &Config, running: &Running) -> Vec<Finding> {
    let services = async |findings: &mut Vec<Finding>| services::examine(&running.addresses, findings).await;
    let broker = async |findings: &mut Vec<Finding>| {
        broker::examine(&running.credentials, findings).await;
        findings.extend(canary(config, running).await);
    };
    let here = format!("http://{}", probe::reachable(running.addresses.gateway));
    let here = here.parse::<PublicOrigin>().ok();
    let origins = match config.gateway.public_origins.as_slice() {
        [] => here.as_slice(),
        public => public,
    };
    let edge = async |findings: &mut Vec<Finding>| {
        for origin in origins {
            edge::examine(origin, &config.apart, findings).await;
        }
    };
    let (mut findings, broker, edge) = tokio::join!(
        within(CHECKS_MAX, services::ABOUT, services),
        within(CHECKS_MAX, broker::ABOUT, broker),
        within(CHECKS_MAX, edge::ABOUT, edge),
    );
    findings.extend(broker);
    findings.extend(edge);
    findings
}

/// Whether the root keys are those of the data.
async fn canary(config: &Config, running: &Running) -> Option<Finding> {
    let roots = roots::read(&config.roots).ok()?;
    let broker = ::broker::Broker::connect(&running.credentials, broker::PATIENCE).await.ok()?;
    match broker.last_confirmed(subject::KEYS_STREAM, subject::CANARY).await {
        Ok(Some(_)) => {}
        Ok(None) => return Some(Finding::good(machine::ABOUT, "nothing was sealed with the root keys yet")),
        // The stream that can't be read is told of with the others.
        Err(_) => return None,
    }
    let checked = roots::check_canary(&broker, &roots, (&config.roots, &config.data)).await;
    Some(match checked {
        Ok(()) => Finding::good(
            machine::ABOUT,
            "the root keys open the data; `backchat keys check` looks at every key",
        ),
        Err(error) => Finding::fault(
            machine::ABOUT,
            error.to_string(),
            "bring those of this installation back from their copy: backchat keys import",
        ),
    })
}
