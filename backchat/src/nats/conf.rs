//! The NATS server's configuration: loopback, a port of its own, a user with a password for each service.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use data_encoding::BASE64URL_NOPAD;

use crate::Error;

/// A user of the broker: how it is called there, the name by which it calls itself (its inbox is named so), and what it
/// may publish and hear beside answers to its own questions.
struct User {
    user: &'static str,
    name: &'static str,
    publish: &'static [&'static str],
    subscribe: &'static [&'static str],
}

/// Reading what is stored. It changes nothing, and gives nobody the right to make the broker publish: that comes with the
/// creation of consumers, which no service gets.
const READ: [&str; 3] = ["$JS.API.DIRECT.GET.>", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*"];

/// Taking the text of a deleted message out of the log: this edition has one shard, and no other stream may be touched.
const ERASE_TEXTS: &str = "$JS.API.STREAM.MSG.DELETE.CHAT_0";

/// Each may do its own work and no more; the set-up step, which also serves a person's tools, may do everything.
const USERS: [User; 5] = [
    User {
        user: "gateway",
        name: "gateway",
        publish: &[
            "chat.log.>",
            "chat.member.>",
            "chat.room.>",
            "chat.message.>",
            "chat.query.>",
            "chat.presence.>",
            "chat.head.>",
            "keys.room",
            ERASE_TEXTS,
        ],
        subscribe: &[
            "chat.live.>",
            "chat.profilelive.>",
            "chat.sessionlive.>",
            "chat.keyslive.>",
            "chat.presence.>",
            "chat.head.>",
            "rooms.erase",
            "rooms.expire",
        ],
    },
    User {
        user: "worker",
        name: "history-worker",
        publish: &["rooms.expire", ERASE_TEXTS],
        subscribe: &["chat.live.>", "chat.query.history.*", "chat.query.snapshot.>"],
    },
    // It reads and answers, and writes nothing.
    User {
        user: "search",
        name: "search-worker",
        publish: &[],
        subscribe: &["chat.live.>", "chat.profilelive.>", "chat.keyslive.>", "chat.query.search"],
    },
    User {
        user: "auth",
        name: "auth-service",
        publish: &[
            "chat.profile.>",
            "chat.session.>",
            "chat.keys.>",
            "rooms.erase",
            "$JS.API.STREAM.MSG.DELETE.KEYS",
            "$JS.API.STREAM.MSG.DELETE.PROFILES",
        ],
        subscribe: &["chat.sessionlive.>", "keys.room", "keys.admin", "accounts.copies"],
    },
    User { user: "setup", name: "setup", publish: &[], subscribe: &[] },
];

impl User {
    /// The user's permissions as the configuration has them, empty for one that may do everything.
    fn permissions(&self) -> String {
        if self.user == "setup" {
            return String::new();
        }
        let list =
            |subjects: &[&str]| subjects.iter().map(|subject| quoted(subject)).collect::<Vec<_>>().join(", ");
        let publish: Vec<_> = READ.iter().chain(self.publish).copied().collect();
        let inbox = format!("_INBOX_{}.>", self.name);
        let subscribe: Vec<_> = self.subscribe.iter().copied().chain([inbox.as_str()]).collect();
        format!(
            ", permissions: {{ publish: [{}], subscribe: [{}], allow_responses: true }}",
            list(&publish),
            list(&subscribe)
        )
    }
}

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
        let users = USERS.iter().map(|User { user, .. }| {
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

    /// The way in of one of the five users: `gateway`, `worker`, `search`, `auth`, `setup`.
    #[must_use]
    pub fn access(&self, user: &str) -> &Access {
        let found = self.users.iter().find(|access| access.user == user);
        found.expect("only the five users above are asked for")
    }

    /// The configuration file. Each acknowledged message is on the disk (`sync_interval: always`), so that not even a power
    /// failure loses one.
    #[must_use]
    pub fn text(&self, store: &Path, log: &Path) -> String {
        let mut users = String::new();
        for (Access { user, password }, entry) in self.users.iter().zip(&USERS) {
            let _ = writeln!(
                users,
                "    {{ user: {user}, password: {}{} }}",
                quoted(password),
                entry.permissions()
            );
        }
        format!(
            "# Written by backchat at each start.\n\
             server_name: backchat\n\
             listen: \"{}\"\n\
             max_payload: 1MB\n\
             log_file: {}\n\
             logfile_size_limit: 10MB\n\
             logfile_max_num: 3\n\
             jetstream {{\n    store_dir: {}\n    sync_interval: always\n    max_memory_store: 256MB\n}}\n\
             authorization {{\n  users: [\n{users}  ]\n}}\n",
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
        let text = conf.text(Path::new("/srv/a \"b\"/store"), Path::new("/srv/log"));
        for User { user, .. } in USERS {
            let password = &conf.access(user).password;
            assert_eq!(password.len(), 32);
            assert_eq!(text.matches(password.as_str()).count(), 1);
        }
        assert!(text.contains(r#"store_dir: "/srv/a \"b\"/store""#), "{text}");
        assert!(conf.url().starts_with("nats://127.0.0.1:"));
    }

    /// A user's line of the configuration, cut where the subjects begin that it may hear.
    fn permissions(user: &str) -> (String, String) {
        let text = Conf::new().unwrap().text(Path::new("/srv/store"), Path::new("/srv/log"));
        let begin = format!("{{ user: {user},");
        let line = text.lines().find(|line| line.trim_start().starts_with(&begin)).unwrap();
        line.split_once("subscribe:").map(|(publish, hear)| (publish.to_owned(), hear.to_owned())).unwrap()
    }

    #[test]
    fn each_erases_from_the_stream_of_its_own_work_alone() {
        let log = &*protocol::subject::Shard(0).stream();
        let (keys, profiles) = (protocol::subject::KEYS_STREAM, protocol::subject::PROFILES_STREAM);
        for (user, streams) in
            [("gateway", &[log][..]), ("worker", &[log]), ("search", &[]), ("auth", &[keys, profiles])]
        {
            let (publish, _) = permissions(user);
            assert_eq!(publish.matches("MSG.DELETE").count(), streams.len(), "{publish}");
            for stream in streams {
                let erase = format!("\"$JS.API.STREAM.MSG.DELETE.{stream}\"");
                assert!(publish.contains(&erase), "{publish}");
            }
        }
    }

    #[test]
    fn the_auth_service_alone_writes_keys_and_answers_for_them() {
        for user in ["gateway", "worker", "search", "auth"] {
            let (publish, hear) = permissions(user);
            assert_eq!(publish.contains("\"chat.keys."), user == "auth", "{publish}");
            for asked in [protocol::subject::KEY_REQUESTS, protocol::subject::KEY_ADMIN] {
                assert_eq!(hear.contains(&format!("\"{asked}\"")), user == "auth", "{hear}");
                let may_ask = user == "gateway" && asked == protocol::subject::KEY_REQUESTS;
                assert_eq!(publish.contains(&format!("\"{asked}\"")), may_ask, "{publish}");
            }
        }
    }

    #[test]
    fn the_search_worker_writes_nothing_and_nobody_else_hears_a_search() {
        let (publish, _) = permissions("search");
        let read: Vec<_> = READ.iter().map(|subject| quoted(subject)).collect();
        assert!(publish.ends_with(&format!("publish: [{}], ", read.join(", "))), "{publish}");
        for user in ["gateway", "worker", "search", "auth"] {
            let (_, hear) = permissions(user);
            let hears = hear.contains("\"chat.query.>\"") || hear.contains(protocol::subject::SEARCH_QUERIES);
            assert_eq!(hears, user == "search", "{hear}");
        }
    }

    #[test]
    fn a_gateway_tells_and_hears_what_is_said_in_passing() {
        let (publish, hear) = permissions("gateway");
        assert!(publish.contains("\"chat.message.>\""), "{publish}");
        for soft in ["\"chat.presence.>\"", "\"chat.head.>\""] {
            assert!(publish.contains(soft) && hear.contains(soft), "{publish} {hear}");
        }
    }
}
