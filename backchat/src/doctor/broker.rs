//! The NATS servers: whether they are reached, by whom, what they are, and whether the streams are as they should be.

use std::time::Duration;

use broker::{Broker, Credentials, Error, Permissions, SETUP, StreamReport};
use protocol::Timestamp;
use protocol::subject::INSTALLATION_STREAM;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::certificates::{self, Believed};
use super::clock;
use super::finding::Finding;
use super::place::Place;
use super::streams;

pub const ABOUT: &str = "broker";
const PORT: u16 = 4_222;
/// Longest wait until the broker lets this program in, and for its greeting.
pub const PATIENCE: Duration = Duration::from_secs(5);
const GREETING_MAX: Duration = Duration::from_secs(3);
/// The oldest version that backchat works with: it has atomic batches.
const VERSION_MIN: (u32, u32) = (2, 12);
/// A greeting that is longer is no server's.
const GREETING_BYTES_MAX: usize = 64 * 1024;

/// Looks at all of it, as this user.
pub async fn examine(credentials: &Credentials, findings: &mut Vec<Finding>) {
    let (mut reached, mut asked) = (0, 0);
    for url in credentials.url.split(',').map(str::trim) {
        asked += 1;
        match greeted(url, credentials).await {
            Ok(found) => {
                reached += 1;
                findings.extend(found);
            }
            Err(found) => findings.push(found),
        }
    }
    if reached == 0 {
        return;
    }
    if asked > 1 && reached < asked {
        // Those that are there may do without it, which is told by the streams' replicas.
        findings.push(Finding::good(ABOUT, format!("{reached} of {asked} NATS servers are reached")));
    }
    match Broker::connect(credentials, PATIENCE).await {
        Ok(broker) => of(&broker, credentials, findings).await,
        Err(error) => findings.push(refused(&error)),
    }
}

fn refused(error: &Error) -> Finding {
    let remedy = match error {
        Error::Denied(_) => {
            "set --nats-user and --nats-password (BACKCHAT_NATS_USER, BACKCHAT_NATS_PASSWORD) to those of the broker's configuration, \
             which `backchat-setup permissions` writes"
        }
        Error::Setup(_) => "put version 2.12 or newer of nats-server in its place",
        _ => "see the log of the NATS server",
    };
    Finding::fault(ABOUT, error.to_string(), remedy)
}

async fn of(broker: &Broker, credentials: &Credentials, findings: &mut Vec<Finding>) {
    let server = broker.server();
    if !server.has_jetstream {
        findings.push(Finding::fault(
            ABOUT,
            "JetStream is off, so nothing can be stored",
            "add `jetstream { store_dir: \"/srv/nats\" }` to the NATS server's configuration, and start it again",
        ));
        return;
    }
    if !server.asks_for_login {
        let found = "the broker lets everybody do everything";
        let remedy =
            "put what `backchat-setup permissions` prints into its configuration, and start it again";
        findings.push(Finding::warning(ABOUT, found, remedy));
    }
    let installation = match broker.installation_record().await {
        Ok(installation) => installation,
        Err(error) => {
            findings.push(Finding::fault(
                ABOUT,
                format!("the installation can't be read: {error}"),
                missing(&error),
            ));
            return;
        }
    };
    findings.push(time(broker, installation.shards().count()).await);
    streams::examine(broker, installation.shards().count(), findings).await;
    findings.extend(rights(credentials).await);
}

fn missing(error: &Error) -> &'static str {
    match error {
        Error::Setup(_) => {
            "run `backchat-setup` once on a new broker; else see whether address and account are the right ones"
        }
        Error::TimedOut => {
            "give this user the rights that `backchat-setup permissions` prints, or see as the user setup whether each stream has a leader: nats stream report"
        }
        _ => "see the log of the NATS server",
    }
}

async fn time(broker: &Broker, shards: u16) -> Finding {
    let before = Timestamp::now();
    match broker.report(INSTALLATION_STREAM, shards).await {
        Ok(StreamReport { at: Some(at), .. }) => {
            clock::compared(ABOUT, "the broker", at, (before, Timestamp::now()))
        }
        Ok(_) => Finding::good(ABOUT, "the broker does not say what time it is"),
        Err(error) => Finding::fault(
            ABOUT,
            format!("the stream of the installation can't be seen: {error}"),
            missing(&error),
        ),
    }
}

/// What a service's own user may not do. The set-up step's may do everything.
async fn rights(credentials: &Credentials) -> Vec<Finding> {
    let all = Permissions::of_all();
    let Some(of) = all.iter().find(|of| Some(of.name) == credentials.user.as_deref()) else {
        return match credentials.user.as_deref() {
            Some(SETUP) | None => Vec::new(),
            Some(other) => {
                vec![Finding::good(
                    ABOUT,
                    format!("the rights of {other} are not tried: it is no service of ours"),
                )]
            }
        };
    };
    match broker::refused_rights(credentials, of).await {
        Ok(refused) if refused.is_empty() => {
            let found = format!("{} may do its work; what services say to each other was not tried", of.name);
            vec![Finding::good(ABOUT, found)]
        }
        Ok(refused) => {
            let remedy = format!("give {} the rights that `backchat-setup permissions` prints", of.name);
            let faults = refused
                .iter()
                .map(|what| Finding::fault(ABOUT, format!("{} may not {what}", of.name), &*remedy));
            faults.collect()
        }
        Err(error) => vec![refused(&error)],
    }
}

/// What a server says first.
#[derive(Deserialize)]
struct Greeting {
    #[serde(default)]
    server_name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    tls_required: bool,
    #[serde(default)]
    tls_available: bool,
}

async fn greeted(url: &str, credentials: &Credentials) -> Result<Vec<Finding>, Finding> {
    let place = Place::of(url, PORT).ok_or_else(|| {
        let remedy = "write it as nats://HOST:PORT or tls://HOST:PORT, with commas between several";
        Finding::fault(
            ABOUT,
            format!("{} is no address of a NATS server", service::config::without_passwords(url)),
            remedy,
        )
    })?;
    let away = |why: String| {
        let remedy =
            format!("start the NATS server at {place}, or set --nats-url (BACKCHAT_NATS_URL) to where it is");
        Finding::fault(ABOUT, format!("no NATS server is reached at {place}: {why}"), remedy)
    };
    let mut stream = place.connect().await.map_err(&away)?;
    let greeting = timeout(GREETING_MAX, greeting(&mut stream)).await;
    let greeting = greeting.unwrap_or_else(|_| Err("it does not greet".to_owned())).map_err(&away)?;
    let version = version(&greeting);
    let speaks_tls = greeting.tls_required || greeting.tls_available;
    if url.starts_with("tls://") && !speaks_tls {
        let remedy = "give it a certificate (tls { cert_file, key_file } in its configuration), or write nats:// before its address";
        return Err(Finding::fault(ABOUT, format!("the NATS server at {place} does not speak TLS"), remedy));
    }
    if speaks_tls {
        let believed = Believed { setting: "--nats-ca (BACKCHAT_NATS_CA)", file: credentials.ca.clone() };
        let (_, finding) = certificates::shown(stream, &place.host, &believed, ABOUT).await?;
        return Ok(vec![version, finding]);
    }
    if place.is_here() {
        return Ok(vec![version]);
    }
    let found =
        format!("what is said to the NATS server at {place} passes the network in the open, passwords too");
    let remedy = "give it a certificate (tls { cert_file, key_file } in its configuration), and write tls:// before its address";
    Ok(vec![version, Finding::warning(ABOUT, found, remedy)])
}

/// Whichever server a service is connected with must be new enough, so each is looked at.
fn version(greeting: &Greeting) -> Finding {
    let Greeting { server_name, version, .. } = greeting;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= VERSION_MIN {
        return Finding::good(ABOUT, format!("NATS server {version} is {server_name}"));
    }
    let (major, minor) = VERSION_MIN;
    let found = format!("the NATS server {server_name} is {version}, and older than {major}.{minor}");
    Finding::fault(ABOUT, found, format!("put version {major}.{minor} or newer of nats-server in its place"))
}

async fn greeting(stream: &mut TcpStream) -> Result<Greeting, String> {
    let mut line = Vec::new();
    // Not a byte more is read than the line: what follows may be TLS.
    while line.last() != Some(&b'\n') && line.len() < GREETING_BYTES_MAX {
        line.push(stream.read_u8().await.map_err(|error| error.to_string())?);
    }
    let json = line.strip_prefix(b"INFO ").ok_or("it is none")?;
    serde_json::from_slice(json).map_err(|error| format!("it greets strangely: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Kind;
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_a_fault() {
        let kind = |said: &str| version(&serde_json::from_str(said).unwrap()).kind;
        for (number, expected) in [
            ("2.12.0", Kind::Good),
            ("2.14.0-RC.1", Kind::Good),
            ("3.0.0", Kind::Good),
            ("2.11.9", Kind::Fault),
            ("1.40.0", Kind::Fault),
        ] {
            assert_eq!(
                kind(&format!(r#"{{"server_name": "a", "version": "{number}"}}"#)),
                expected,
                "{number}"
            );
        }
        assert_eq!(kind("{}"), Kind::Fault);
    }
}
