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
#[derive(Debug, Clone, Copy, Serialize)]
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

/// The part that a tool needs which asks the broker.
#[derive(Deserialize)]
struct Running {
    nats_url: String,
    nats_user: String,
    nats_password: String,
}

/// The way to the broker of the backchat that runs with this data folder.
///
/// # Errors
/// [`Error::Data`] when the file can't be read: it is there once the chat is.
pub fn read(data: &Path) -> Result<Credentials, Error> {
    let path = data.join(NAME);
    let read = std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no backchat runs with this data folder: start it first".to_owned(),
        _ => error.to_string(),
    });
    let running = read.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
    let Running { nats_url, nats_user, nats_password } = running.map_err(|why| Error::Data { path, why })?;
    Ok(Credentials {
        user: Some(nats_user),
        password: Some(nats_password),
        ..Credentials::of_nobody(nats_url, SETUP)
    })
}

/// Removes the file: nothing runs any more.
pub fn remove(data: &Data) {
    // A file that stays behind names a process that is gone, which a reader notices.
    let _ = std::fs::remove_file(data.path(NAME));
}
