//! The databases of services that run apart, on a SurrealDB server: of history and of accounts.

use history_worker::store::{DatabaseAddress, HISTORY, examine};
use protocol::Timestamp;
use service::database::{Report, Schema, SchemaMark, Unseen};

use super::certificates::{self, Believed};
use super::clock;
use super::finding::Finding;
use super::place::Place;
use crate::config::Apart;

pub const ABOUT: &str = "database";
const TLS_PORT: u16 = 443;
/// The server that this backchat is made for.
const SERVER: (&str, &str) = ("3.", "3.3");

/// A database as an operator knows it.
struct Known<'a> {
    /// What it holds.
    name: &'static str,
    setting: &'static str,
    service: &'static str,
    address: &'a DatabaseAddress,
    mark: SchemaMark,
}

pub async fn examine_all(apart: &Apart, findings: &mut Vec<Finding>) {
    let history = apart.history.iter().flat_map(history_worker::Databases::addresses).map(|address| Known {
        name: "history",
        setting: "--history-database (BACKCHAT_HISTORY_DATABASE)",
        service: "history worker",
        address,
        mark: HISTORY,
    });
    let accounts = apart.accounts.iter().map(|address| Known {
        name: "accounts",
        setting: "--auth-database (BACKCHAT_AUTH_DATABASE)",
        service: "auth service",
        address,
        mark: auth_service::ACCOUNTS,
    });
    for known in history.chain(accounts) {
        of(&known, findings).await;
    }
}

async fn of(known: &Known<'_>, findings: &mut Vec<Finding>) {
    findings.extend(certificate(known.address).await);
    let before = Timestamp::now();
    match Box::pin(examine(known.address, &known.mark)).await {
        Ok(report) => {
            let Known { name, address, .. } = known;
            findings.push(Finding::good(ABOUT, format!("the database of {name} is reached at {address}")));
            findings.push(server(&report));
            findings.push(schema(known, report.schema));
            let theirs = Timestamp::from_millis(report.at_ms);
            findings.push(clock::compared(ABOUT, "the SurrealDB server", theirs, (before, Timestamp::now())));
        }
        Err(why) => findings.push(unseen(known, &why)),
    }
}

async fn certificate(address: &DatabaseAddress) -> Option<Finding> {
    let DatabaseAddress::Server(server) = address else { return None };
    let place = Place::of(&server.endpoint, TLS_PORT)?;
    if !server.endpoint.starts_with("wss://") {
        return (!place.is_here()).then(|| {
            let found = format!(
                "what is said to the database at {place} passes the network in the open, passwords too"
            );
            Finding::warning(
                ABOUT,
                found,
                "start it with --web-crt and --web-key, and write wss:// before its address",
            )
        });
    }
    // Whoever does not answer here is told of with the database.
    let stream = place.connect().await.ok()?;
    let believed = Believed { setting: "?ca=FILE behind the database's address", file: server.ca.clone() };
    let shown = certificates::shown(stream, &place.host, &believed, ABOUT).await;
    Some(shown.map_or_else(|finding| finding, |(_, finding)| finding))
}

fn server(report: &Report) -> Finding {
    let found = format!("SurrealDB server {}", report.server);
    let remedy = format!("use a server of version {}, which backchat is tested with", SERVER.1);
    if report.server.starts_with(SERVER.1) {
        Finding::good(ABOUT, found)
    } else if report.server.starts_with(SERVER.0) {
        Finding::warning(ABOUT, format!("{found} is another version than {}", SERVER.1), remedy)
    } else {
        Finding::fault(ABOUT, format!("{found} is another version than {}", SERVER.1), remedy)
    }
}

fn schema(known: &Known<'_>, schema: Schema) -> Finding {
    let Known { name, service, mark, .. } = known;
    match schema {
        Schema::Empty => Finding::warning(
            ABOUT,
            format!("the database of {name} is empty"),
            format!(
                "start the {service}, which makes its tables; where it was started before, this is the wrong database"
            ),
        ),
        Schema::Restoring => Finding::fault(
            ABOUT,
            format!("a backup was restored into the database of {name} by half"),
            "restore it again, or empty the database",
        ),
        Schema::Version(found) if found > mark.known => Finding::fault(
            ABOUT,
            format!("the database of {name} has schema {found}, but this backchat knows {}", mark.known),
            format!("use the {service} of a newer backchat"),
        ),
        Schema::Version(found) if found < mark.known => Finding::warning(
            ABOUT,
            format!("the database of {name} has schema {found}, and this backchat writes {}", mark.known),
            format!(
                "wait until the {service} of this backchat has taken over: its /readyz says what it waits for"
            ),
        ),
        Schema::Version(found) => Finding::good(
            ABOUT,
            format!("the database of {name} has schema {found}, which is this backchat's"),
        ),
    }
}

fn unseen(known: &Known<'_>, why: &Unseen) -> Finding {
    let Known { name, setting, service, address, .. } = known;
    let found = format!("the database of {name} at {address} can't be looked at: {why}");
    match why {
        Unseen::Embedded => Finding::good(ABOUT, found),
        Unseen::Address(_) => Finding::fault(ABOUT, found, format!("mend the address in {setting}")),
        Unseen::Denied => Finding::fault(
            ABOUT,
            found,
            format!(
                "mend user and password in {setting}; DEFINE USER … ON DATABASE … ROLES EDITOR makes one, as the {service} needs"
            ),
        ),
        Unseen::Missing => Finding::fault(
            ABOUT,
            found,
            format!(
                "mend namespace and database in {setting}, or create them: DEFINE NAMESPACE … and DEFINE DATABASE …"
            ),
        ),
        Unseen::Away(_) => Finding::fault(
            ABOUT,
            found,
            format!("start the SurrealDB server, or mend the address in {setting}"),
        ),
    }
}
