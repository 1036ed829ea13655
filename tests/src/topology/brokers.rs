//! The NATS servers: one broker of several, TLS between them and towards clients, a user with its own rights for each service.

use super::authority::Authority;
use super::piece::{Piece, Role};
use crate::files;
use crate::nats::server;
use crate::ports;
use crate::process::Launch;
use broker::{USERS, authorization};
use std::collections::BTreeMap;
use std::path::Path;

pub struct Brokers {
    servers: Vec<Server>,
    passwords: BTreeMap<&'static str, String>,
}

struct Server {
    name: String,
    launch: Launch,
    clients: u16,
    monitor: u16,
    route: u16,
}

impl Brokers {
    /// So many servers, not running yet.
    ///
    /// # Panics
    /// When their settings can't be written.
    pub fn prepared(authority: &Authority, count: usize, folder: &Path) -> Self {
        let passwords: BTreeMap<_, _> = USERS.into_iter().map(|user| (user, password())).collect();
        let authorization = authorization(|user| format!("\"{}\"", passwords[user]));
        let servers: Vec<_> =
            (1..=count).map(|number| Server::named(format!("nats-{number}"), folder)).collect();
        let routes: Vec<_> =
            servers.iter().map(|server| format!("\"tls://127.0.0.1:{}\"", server.route)).collect();
        for server in &servers {
            let conf = format!("{}{authorization}", server.conf(authority, folder, &routes.join(", ")));
            files::replace(&folder.join(format!("{}.conf", server.name)), &conf);
        }
        Self { servers, passwords }
    }

    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        self.servers.iter().map(|server| {
            let (launch, monitor) = (server.launch.clone(), format!("127.0.0.1:{}", server.monitor));
            Piece::of(Role::Nats, launch, Some(server.clients), monitor, "/healthz")
        })
    }

    /// The addresses of all, with commas between.
    pub fn urls(&self) -> String {
        let urls: Vec<_> =
            self.servers.iter().map(|server| format!("tls://127.0.0.1:{}", server.clients)).collect();
        urls.join(",")
    }

    /// # Panics
    /// When there is no such user.
    pub fn password(&self, user: &str) -> &str {
        &self.passwords[user]
    }
}

impl Server {
    fn named(name: String, folder: &Path) -> Self {
        let conf = folder.join(format!("{name}.conf"));
        let launch =
            Launch::new(&server(), folder).named(&name).argument("-c").argument(conf.to_string_lossy());
        Self { name, launch, clients: ports::free(), monitor: ports::free(), route: ports::free() }
    }

    fn conf(&self, authority: &Authority, folder: &Path, routes: &str) -> String {
        let pair = authority.signs(&self.name);
        let tls = format!(
            "{{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, timeout: 5 }}",
            pair.certificate,
            pair.key,
            authority.file()
        );
        format!(
            "server_name: \"{}\"\nlisten: \"127.0.0.1:{}\"\nhttp: \"127.0.0.1:{}\"\nmax_payload: 1MB\ntls: {tls}\n\
             jetstream {{ store_dir: {:?}, sync_interval: always }}\n\
             cluster {{ name: backchat, listen: \"127.0.0.1:{}\", routes: [{routes}], tls: {tls} }}\n",
            self.name,
            self.clients,
            self.monitor,
            folder.join(&self.name),
            self.route,
        )
    }
}

/// Something that nobody guesses.
pub fn password() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
