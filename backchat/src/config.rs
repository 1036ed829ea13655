//! The settings of the single-node edition: its own few, and those of the four services inside it.

use std::ffi::OsStr;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use broker::Credentials;
use history_worker::Databases;
use history_worker::store::DatabaseAddress;
use service::config::{ConfigFaults, Inside, Secret, Settings, Source};
use service::origin::PublicOrigin;

use crate::history::Wanted;

/// Everything that can be set. The services' settings keep their own names (`BACKCHAT_GATEWAY_…`), less those that follow from
/// running in one process.
pub struct Config {
    pub command: Command,
    pub listen: SocketAddr,
    pub data: PathBuf,
    /// Where the root keys are: `roots`, else beside the data.
    pub roots: PathBuf,
    pub nats_server: Option<PathBuf>,
    /// The broker of pieces that run apart, for commands; without it, that of the backchat on the data.
    pub broker: Option<Credentials>,
    /// What else of such pieces the doctor looks at.
    pub apart: Apart,
    /// What is wrong with the settings, for the doctor.
    pub faults: Vec<String>,
    /// Commands answer in lines of JSON.
    pub json: bool,
    /// Where a comparison of the history goes on that was cut short.
    pub from: Option<String>,
    /// A snapshot that gives back what the log has lost.
    pub snapshot: Option<String>,
    /// How long a chat that does not answer yet is waited for.
    pub wait: Duration,
    /// Who tries it, where nobody is to be registered for that.
    pub tried_as: Option<Account>,
    /// A newer backup, whose keys an older one is restored with.
    pub keys_from: Option<String>,
    pub gateway: gateway::Config,
    pub worker: history_worker::Config,
    pub search: search_worker::Config,
    pub auth: auth_service::Config,
}

/// Somebody who is registered.
pub struct Account {
    pub name: String,
    pub password: Secret,
}

impl Account {
    fn read(source: &mut Source) -> Option<Self> {
        let name = source.optional(
            "try_name",
            "For try: who tries the chat, by their name; unset, somebody new is registered each time",
        );
        let password = source.secret("try_password", "For try: their password");
        name.map(|name| Self { name, password })
    }
}

/// Where pieces are that run apart, for the doctor.
#[derive(Default)]
pub struct Apart {
    pub history: Option<Databases>,
    pub accounts: Option<DatabaseAddress>,
    pub origin: Option<PublicOrigin>,
    pub origin_ca: Option<PathBuf>,
}

impl Apart {
    /// Whether pieces are to be looked at, and not the backchat on the data folder.
    pub fn is_asked_for(&self, config: &Config) -> bool {
        config.broker.is_some() || self.history.is_some() || self.accounts.is_some() || self.origin.is_some()
    }

    fn read(source: &mut Source) -> Self {
        let history = source.secret(
            "history_database",
            "For doctor: the database of history workers that run apart, as they are given it",
        );
        let accounts = source.secret(
            "auth_database",
            "For doctor: the database of auth services that run apart, as they are given it",
        );
        Self {
            history: parsed(source, "history_database", history.expose()),
            accounts: parsed(source, "auth_database", accounts.expose()),
            origin: source.optional(
                "origin",
                "For doctor: the address under which browsers reach services that run apart, such as https://chat.example",
            ),
            origin_ca: source.optional(
                "origin_ca",
                "For doctor and try: file of PEM certificates that must have signed that of the chat's address; unset, the public ones of this machine",
            ),
        }
    }
}

/// A secret that is not empty, as what it is to be.
fn parsed<T>(source: &mut Source, name: &str, text: &str) -> Option<T>
where
    T: FromStr,
    T::Err: Display,
{
    if text.is_empty() {
        return None;
    }
    text.parse().map_err(|why| source.fault(format!("{name}: {why}"))).ok()
}

/// What the program is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Chat,
    HistoryStatus,
    ListSetAside,
    /// The entry at this place, here and below.
    ShowSetAside(String),
    DropSetAside(String),
    RetrySetAside(String),
    ReplayHistory(Wanted),
    /// Of one room, or of all.
    VerifyHistory(Option<String>),
    /// Everything of who has this name.
    ErasePerson(String),
    /// The room at this address.
    EraseRoom(String),
    /// Everything, or the history alone, to or from this place.
    BackUp(String),
    Restore(String),
    SnapshotHistory(String),
    RestoreHistory(String),
    SearchStatus,
    ReplaySearch,
    /// To say what is wrong.
    Doctor,
    /// Each of these addresses, with spaces between.
    Probe(String),
    /// Of the chat, and behind a space that of its auth service, where that is another.
    Try(String),
    CheckKeys,
    ExportKeys,
    ImportKeys,
    RotateKeys,
}

/// An operations address of its own for each service, which the system chooses.
const OPERATIONS: (&str, &str) = ("operations", "127.0.0.1:0");

impl Settings for Config {
    const SERVICE: &'static str = "backchat";

    fn read(source: &mut Source) -> Self {
        let listen = source.value("listen", "127.0.0.1:8080", "Address of pages and sockets");
        let command = command(source);
        let data: PathBuf =
            source.value("data", "./data", "Folder that holds everything; it is created where it is missing");
        let roots: Option<PathBuf> = source.optional(
            "roots",
            "Folder of the root keys, which open everything in the data folder: keep a copy elsewhere, and never both in one backup. \
             By default beside the data folder, with -roots behind its name",
        );
        let nats_server = source.optional(
            "nats_server",
            "The nats-server program, 2.12 or newer; by default the one on PATH, else the one that make installed",
        );
        let broker = broker(source);
        let apart = Apart::read(source);
        let json = source.value(
            "json",
            "false",
            "Commands answer in lines of JSON on a terminal too, as they do elsewhere",
        );
        let from = source.optional(
            "from",
            "For history verify: where one that was cut short goes on, as it says at its end: SHARD:ROOM, of several shards with commas between",
        );
        let snapshot = source.optional(
            "snapshot",
            "For history replay: a snapshot of the history, or a backup, that gives back what the log has lost: a folder, or s3://BUCKET/PREFIX",
        );
        let keys_from = source.optional(
            "keys_from",
            "For restore: a newer backup, whose keys are restored instead: what was erased since the older one stays erased, and a root key that \
             was destroyed since is not needed",
        );
        let wait = source.ranged(
            "wait",
            0,
            0..=3_600,
            "For probe and try: seconds to ask again while nobody answers, or not as hoped",
        );
        let tried_as = Account::read(source);
        let origins: String = source.value(
            "public_origins",
            "",
            "The addresses under which browsers reach the chat, such as https://chat.example, with commas between them. \
             Empty: the Host header must match",
        );
        let defaults = [OPERATIONS, ("public_origins", origins.as_str())];
        Self {
            command,
            listen,
            roots: roots.unwrap_or_else(|| beside(&data)),
            data,
            nats_server,
            broker,
            apart,
            faults: Vec::new(),
            json,
            from,
            snapshot,
            wait: Duration::from_secs(wait),
            tried_as,
            keys_from,
            gateway: source.nested(&Inside {
                decided: &[
                    "listen",
                    "nats_url",
                    "nats_user",
                    "nats_password",
                    "nats_ca",
                    "auth_upstream",
                    "roots",
                    "roots_command",
                ],
                defaults: &defaults,
            }),
            worker: source.nested(&Inside {
                decided: &["nats_url", "nats_user", "nats_password", "nats_ca", "database"],
                defaults: &[OPERATIONS],
            }),
            search: source.nested(&Inside {
                decided: &[
                    "nats_url",
                    "nats_user",
                    "nats_password",
                    "nats_ca",
                    "index",
                    "roots",
                    "roots_command",
                ],
                defaults: &[OPERATIONS],
            }),
            auth: source.nested(&Inside {
                decided: &[
                    "listen",
                    "nats_url",
                    "nats_user",
                    "nats_password",
                    "nats_ca",
                    "database",
                    "roots",
                    "roots_command",
                ],
                defaults: &defaults,
            }),
        }
    }

    /// The doctor is there to say them.
    fn take_faults(&mut self, faults: ConfigFaults) -> Result<(), ConfigFaults> {
        if self.command != Command::Doctor {
            return Err(faults);
        }
        self.faults = faults.lines().to_vec();
        Ok(())
    }
}

fn broker(source: &mut Source) -> Option<Credentials> {
    let url: Option<String> = source.optional(
        "nats_url",
        "For commands: the NATS server of services that run apart; by default that of the running backchat with this data folder",
    );
    let user = source.optional("nats_user", "The user there, who may do everything");
    let password = source.secret("nats_password", "The user's password");
    let password = (!password.is_empty()).then(|| password.expose().to_owned());
    let ca = source.optional(
        "nats_ca",
        "File of PEM certificates that must have signed those of the NATS servers there",
    );
    url.map(|url| Credentials { user, password, ca, ..Credentials::of_nobody(url, "operator") })
}

fn command(source: &mut Source) -> Command {
    let commands = [
        (
            "history status",
            Command::HistoryStatus,
            "Says how far the history of the running backchat is behind its log, and what it could not apply: a table, or on anything \
             but a terminal a line of JSON for each shard",
        ),
        (
            "history set-aside list",
            Command::ListSetAside,
            "Names the entries of the log that the history could not apply",
        ),
        (
            "history verify",
            Command::VerifyHistory(None),
            "Compares the history of the running backchat with its log, room by room, and names what differs; then the exit code is 1, \
             or 2 when it was stopped before the end; what to type to go on there is said",
        ),
        (
            "history replay",
            Command::ReplayHistory(Wanted::All),
            "Makes the history of the running backchat anew from its log, room by room, while people chat; first it is said of which rooms \
             the log has lost the beginning. They stay as they are, and the exit code is 1, unless --snapshot PLACE gives that back",
        ),
        (
            "search status",
            Command::SearchStatus,
            "Says how far the search index of the running backchat is behind its log: a table, or on anything but a terminal a line of JSON",
        ),
        (
            "search replay",
            Command::ReplaySearch,
            "Makes the search index of the running backchat anew from its log, beside the one that answers meanwhile",
        ),
        (
            "doctor",
            Command::Doctor,
            "Says what is wrong with settings, machine, broker, databases, certificates and proxies, and what to type; the exit code is 1 \
             when something is. Of the backchat on the data folder, or of services that run apart, whose addresses are given",
        ),
        (
            "keys check",
            Command::CheckKeys,
            "Says whether the root keys open every key of the data, and which of them are needed",
        ),
        (
            "keys export",
            Command::ExportKeys,
            "Prints each root key as its number and 24 words, to be written down",
        ),
        (
            "keys import",
            Command::ImportKeys,
            "Makes root keys of such numbers and words, read from standard input",
        ),
        (
            "keys rotate",
            Command::RotateKeys,
            "Makes a new root key and has the running backchat wrap every key under it",
        ),
    ];
    // All are named to the source, for `--help`.
    let asked = commands.map(|(words, command, doc)| source.command(words, doc).then_some(command));
    let verified = source.command_on("history verify", "ADDRESS", "The same for one room");
    let verified = verified.map(|room| Command::VerifyHistory(Some(room)));
    let replayed = source.command_on("history replay", "ADDRESS", "The same for one room");
    let replayed = replayed.map(|room| Command::ReplayHistory(Wanted::Room(room)));
    let replayed_shard = source.command_on("history replay-shard", "NUMBER", "The same for one shard");
    let replayed_shard = replayed_shard.map(|shard| Command::ReplayHistory(Wanted::Shard(shard)));
    let shown = source.command_on(
        "history set-aside show",
        "PLACE",
        "Shows such an entry; PLACE is its shard and sequence as in the list, 0.42",
    );
    let dropped =
        source.command_on("history set-aside drop", "PLACE", "Forgets such an entry; the log keeps it");
    let retried = source.command_on(
        "history set-aside retry",
        "PLACE",
        "Gives such an entry its place in the history, if this backchat can read it",
    );
    let person = source.command_on(
        "erase person",
        "NAME",
        "Erases everything that a person ever wrote, and their account, from the running backchat; there is no way back",
    );
    let room = source.command_on(
        "erase room",
        "ADDRESS",
        "Erases a room with everything in it; ADDRESS is what stands behind /room/ in its link",
    );
    let backup = source.command_on(
        "backup",
        "PLACE",
        "Backs up everything of the running backchat but its root keys, while people chat: PLACE is a new folder, or s3://BUCKET/PREFIX \
         with the store's address and keys in AWS_ENDPOINT, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    );
    let restored = source.command_on(
        "restore",
        "PLACE",
        "Makes a new data folder of such a backup; run it with the root keys of that time",
    );
    let snapshot = source.command_on(
        "history snapshot",
        "PLACE",
        "Backs up the history of the running backchat alone, without its log",
    );
    let restored_history = source.command_on(
        "history restore",
        "PLACE",
        "Makes the history of such a snapshot, or of a backup, while backchat does not run: its log must continue it, and DATA/history must \
         be gone",
    );
    let probed = source.command_on(
        "probe",
        "URL…",
        "Asks each of these whether it answers, as http://gateway:8080/readyz",
    );
    let tried = source.command_on(
        "try",
        "ADDRESS…",
        "Does what people do in the chat at an address, as https://chat.example: registers somebody, makes a room, sends a message, hears \
         it, reads it from the history, finds it, and takes it away; says how long each takes, and ends with 1 at the first that fails. Where \
         no proxy is in front, a second address is that of the auth service",
    );
    let copies = [
        probed.map(Command::Probe),
        tried.map(Command::Try),
        backup.map(Command::BackUp),
        restored.map(Command::Restore),
        snapshot.map(Command::SnapshotHistory),
        restored_history.map(Command::RestoreHistory),
    ];
    let aside = [
        shown.map(Command::ShowSetAside),
        dropped.map(Command::DropSetAside),
        retried.map(Command::RetrySetAside),
    ];
    let on_something =
        [verified, replayed, replayed_shard, person.map(Command::ErasePerson), room.map(Command::EraseRoom)];
    asked.into_iter().chain(aside).chain(copies).chain(on_something).flatten().next().unwrap_or(Command::Chat)
}

/// `./data` has its root keys in `./data-roots`.
fn beside(data: &Path) -> PathBuf {
    let mut name = data.file_name().unwrap_or_else(|| OsStr::new("data")).to_owned();
    name.push("-roots");
    data.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_keys_lie_beside_the_data() {
        for (data, roots) in
            [("./data", "./data-roots"), ("/srv/backchat/", "/srv/backchat-roots"), ("x", "x-roots")]
        {
            assert_eq!(beside(Path::new(data)), Path::new(roots));
        }
    }
}
