//! A SurrealDB server with a database, and a user of it alone, for each of the two that keep one.

use super::authority::Authority;
use super::brokers::password;
use super::piece::{Piece, Role};
use crate::files;
use crate::ports;
use crate::process::Launch;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const NAMESPACE: &str = "backchat";
const DATABASES: [&str; 2] = ["history", "auth"];

pub struct Database {
    launch: Launch,
    port: u16,
    /// Of the user of each database.
    passwords: BTreeMap<&'static str, String>,
    authority: PathBuf,
}

impl Database {
    /// # Panics
    /// When `SURREALDB_SERVER` names no server, or a file can't be written.
    pub fn prepared(authority: &Authority, folder: &Path) -> Self {
        let program = std::env::var_os("SURREALDB_SERVER")
            .expect("SURREALDB_SERVER names a SurrealDB server (`scripts/surrealdb-server` compiles one)");
        let port = ports::free();
        let passwords: BTreeMap<_, _> = DATABASES.into_iter().map(|name| (name, password())).collect();
        let users = folder.join("surrealdb-users.surql");
        files::replace(&users, &users_with(&passwords));
        let pair = authority.signs("surrealdb");
        let launch = Launch::new(Path::new(&program), folder)
            .named("surrealdb")
            // A command line is shown to everybody on the machine.
            .set("SURREAL_USER", "root")
            .set("SURREAL_PASS", password())
            .words("start --no-banner --bind")
            .argument(format!("127.0.0.1:{port}"))
            .argument("--web-crt")
            .argument(pair.certificate.to_string_lossy())
            .argument("--web-key")
            .argument(pair.key.to_string_lossy())
            .argument("--import-file")
            .argument(users.to_string_lossy())
            .argument(format!("surrealkv://{}?sync=every", folder.join("surrealdb").display()));
        Self { launch, port, passwords, authority: authority.file() }
    }

    pub fn piece(&self) -> Piece {
        let address = format!("https://127.0.0.1:{}", self.port);
        crate::wire::trust(&address, &self.authority);
        Piece::of(Role::SurrealDb, self.launch.clone(), Some(self.port), address, "/health")
    }

    /// The address of a database, with its user.
    ///
    /// # Panics
    /// When there is no such database.
    pub fn address(&self, database: &str) -> String {
        let (password, port, ca) = (&self.passwords[database], self.port, self.authority.display());
        format!("wss://{database}:{password}@127.0.0.1:{port}/{NAMESPACE}/{database}?ca={ca}")
    }
}

fn users_with(passwords: &BTreeMap<&str, String>) -> String {
    let mut statements = format!("DEFINE NAMESPACE IF NOT EXISTS {NAMESPACE};\nUSE NS {NAMESPACE};\n");
    for (database, password) in passwords {
        let _ = writeln!(
            statements,
            "DEFINE DATABASE IF NOT EXISTS {database};\nUSE DB {database};\n\
             DEFINE USER OVERWRITE {database} ON DATABASE PASSWORD '{password}' ROLES EDITOR;"
        );
    }
    statements
}
