//! `DATA/run.json`: where everything of the running process is, for tools on the same machine.

use std::net::SocketAddr;
use std::path::Path;

use broker::{Credentials, SETUP};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::Data;
use crate::nats::Conf;

/// The file's name in the data folder.
const NAME: &str = "run.json";

/// The addresses of one running backchat.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Addresses {
    /// Where people come in.
    pub gateway: SocketAddr,
    /// Where the gateway forwards `/auth/` to.
    pub auth: SocketAddr,
    pub gateway_operations: SocketAddr,
    pub auth_operations: SocketAddr,
    pub worker_operations: SocketAddr,
    pub search_operations: SocketAddr,
}

#[derive(Serialize)]
struct RunFile<'a> {
    pid: u32,
    version: &'static str,
    nats_url: String,
    nats_user: &'a str,
    nats_password: &'a str,
    addresses: Addresses,
}

/// Writes the file, readable by this user alone: it holds a password of the broker.
///
/// # Errors
/// [`Error::Data`] when it can't be written.
pub fn write(data: &Data, addresses: Addresses, conf: &Conf) -> Result<(), Error> {
    let access = conf.access(SETUP);
    let file = RunFile {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION"),
        nats_url: conf.url(),
        nats_user: access.user,
        nats_password: &access.password,
        addresses,
    };
    let text = serde_json::to_string_pretty(&file).expect("the file has only text keys");
    data.write_private(NAME, &(text + "\n"))
}

/// The part that tools need.
#[derive(Deserialize)]
struct Read {
    pid: u32,
    nats_url: String,
    nats_user: String,
    nats_password: String,
    addresses: Addresses,
}

/// A backchat that runs.
pub struct Running {
    /// The way to its broker.
    pub credentials: Credentials,
    pub addresses: Addresses,
}

/// The way to the broker of the backchat that runs with this data folder.
///
/// # Errors
/// [`Error::Data`] when the file can't be read: it is there once the chat is.
pub fn read(data: &Path) -> Result<Credentials, Error> {
    let path = data.join(NAME);
    read_file(&path).map(Read::credentials).map_err(|why| Error::Data { path, why })
}

/// The backchat that runs with this data folder. A file that a killed one has left is none.
pub fn running(data: &Path) -> Option<Running> {
    let read = read_file(&data.join(NAME)).ok()?;
    let runs = Path::new("/proc").join(read.pid.to_string()).exists();
    runs.then(|| Running { addresses: read.addresses, credentials: read.credentials() })
}

fn read_file(path: &Path) -> Result<Read, String> {
    let read = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no backchat runs with this data folder: start it first".to_owned(),
        _ => error.to_string(),
    });
    serde_json::from_slice(&read?).map_err(|error| error.to_string())
}

impl Read {
    fn credentials(self) -> Credentials {
        Credentials {
            user: Some(self.nats_user),
            password: Some(self.nats_password),
            ..Credentials::of_nobody(self.nats_url, SETUP)
        }
    }
}

/// Removes the file: nothing runs any more.
pub fn remove(data: &Data) {
    // A file that stays behind names a process that is gone, which a reader notices.
    let _ = std::fs::remove_file(data.path(NAME));
}
