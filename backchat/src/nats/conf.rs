//! The NATS server's configuration: loopback, a port of its own, a user with a password for each service.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use broker::USERS;
use data_encoding::BASE64URL_NOPAD;

use crate::Error;

/// Random bytes in a password.
const PASSWORD_BYTES: usize = 24;

/// One user's way in.
#[derive(Debug, Clone)]
pub struct Access {
    pub user: &'static str,
    pub password: String,
}

/// Where the server listens and who may come in. Made anew at each start of backchat, and the same for every restart of the
/// server in between.
#[derive(Debug)]
pub struct Conf {
    address: SocketAddr,
    users: Vec<Access>,
}

impl Conf {
    /// Chooses a free port and new passwords.
    ///
    /// # Errors
    /// [`Error::Broker`] when the system has no port or no randomness to give.
    pub fn new() -> Result<Self, Error> {
        let fault = |error: &dyn std::fmt::Display| Error::Broker(error.to_string());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| fault(&error))?;
        let address = listener.local_addr().map_err(|error| fault(&error))?;
        let users = USERS.into_iter().map(|user| {
            let mut bytes = [0; PASSWORD_BYTES];
            getrandom::fill(&mut bytes).map_err(|error| fault(&error))?;
            Ok(Access { user, password: BASE64URL_NOPAD.encode(&bytes) })
        });
        Ok(Self { address, users: users.collect::<Result<_, Error>>()? })
    }

    /// The server's address, as clients name it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// The way in of one of the [`USERS`].
    #[must_use]
    pub fn access(&self, user: &str) -> &Access {
        let found = self.users.iter().find(|access| access.user == user);
        found.expect("only the users of the broker are asked for")
    }

    /// The configuration file. The streams are in `store`, and may take `store_max` bytes. Each acknowledged message is on the disk (`sync_interval: always`), so that not even a power
    /// failure loses one.
    #[must_use]
    pub fn text(&self, (store, store_max): (&Path, u64), log: &Path) -> String {
        let authorization = broker::authorization(|user| quoted(&self.access(user).password));
        format!(
            "# Written by backchat at each start.\n\
             server_name: backchat\n\
             listen: \"{}\"\n\
             max_payload: 1MB\n\
             log_file: {}\n\
             logfile_size_limit: 10MB\n\
             logfile_max_num: 3\n\
             jetstream {{\n    store_dir: {}\n    sync_interval: always\n    max_file_store: {store_max}\n    max_memory_store: 256MB\n}}\n\
             {authorization}",
            self.address,
            quoted(&log.to_string_lossy()),
            quoted(&store.to_string_lossy()),
        )
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_password_of_its_own() {
        let conf = Conf::new().unwrap();
        let text = conf.text((Path::new("/srv/a \"b\"/store"), 7_000), Path::new("/srv/log"));
        for user in USERS {
            let password = &conf.access(user).password;
            assert_eq!(password.len(), 32);
            assert_eq!(text.matches(password.as_str()).count(), 1);
        }
        assert!(text.contains(r#"store_dir: "/srv/a \"b\"/store""#), "{text}");
        assert!(text.contains("max_file_store: 7000\n"), "{text}");
        assert!(conf.url().starts_with("nats://127.0.0.1:"));
    }
}
