//! What each service may do at the broker: its own work and no more, so that one that was taken over can't take the others.
//!
//! A wildcard of NATS matches whole tokens, so the stream of each shard is named, those of shards that may be added later too: then
//! nothing has to be changed at the NATS servers for them. Creating consumers or streams is nobody's right
//! but the set-up step's: with it one could have the broker publish stored messages on any subject.

use protocol::subject::{KEYS_STREAM, PROFILES_STREAM, Shards};
use std::fmt;

/// Who sets the broker up, and an operator's tools: who may do everything.
pub const SETUP: &str = "setup";

/// Every user of the broker: a service by its name, or [`SETUP`].
pub const USERS: [&str; 5] = ["gateway", "history-worker", "search-worker", "auth-service", SETUP];

/// The authorization of a NATS server's configuration: each user with its rights.
/// `password` gives a user's as the configuration has it: quoted, or the name of a variable.
pub fn authorization(password: impl Fn(&str) -> String) -> String {
    let services = Permissions::of_all().map(|may| (may.name, format!(", permissions: {may}")));
    let users = services.into_iter().chain([(SETUP, String::new())]);
    let lines: String = users
        .map(|(user, may)| format!("    {{ user: {user}, password: {}{may} }}\n", password(user)))
        .collect();
    format!("authorization {{\n  users: [\n{lines}  ]\n}}\n")
}

/// What one service may publish and hear, the answers to its own questions among it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// How the service calls itself, and its user at the broker.
    pub name: &'static str,
    pub publish: Vec<String>,
    pub subscribe: Vec<String>,
}

/// Reading what is stored. It changes nothing.
const READ: [&str; 3] = ["$JS.API.DIRECT.GET.>", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*"];

const GATEWAY: (&[&str], &[&str]) = (
    &[
        "chat.log.>",
        "chat.member.>",
        "chat.room.>",
        "chat.message.>",
        "chat.query.>",
        "chat.presence.>",
        "chat.head.>",
        "keys.room",
    ],
    &[
        "chat.live.>",
        "chat.profilelive.>",
        "chat.sessionlive.>",
        "chat.keyslive.>",
        "chat.presence.>",
        "chat.head.>",
        "rooms.erase",
        "rooms.expire",
    ],
);
const HISTORY_WORKER: (&[&str], &[&str]) = (
    &["rooms.expire", "history.workers"],
    &["chat.live.>", "chat.query.history.*", "chat.query.snapshot.>", "history.workers"],
);
/// It reads and answers, and writes nothing. Nobody else hears what people look for.
const SEARCH_WORKER: (&[&str], &[&str]) =
    (&[], &["chat.live.>", "chat.profilelive.>", "chat.keyslive.>", "chat.query.search"]);
/// The only one that writes keys: whoever overwrites one has erased a room or a person.
const AUTH_SERVICE: (&[&str], &[&str]) = (
    &["chat.profile.>", "chat.session.>", "chat.keys.>", "rooms.erase"],
    &["chat.sessionlive.>", "keys.room", "keys.admin", "accounts.copies"],
);

impl Permissions {
    /// Those of every service. The set-up step and operators may do everything.
    pub fn of_all() -> [Self; 4] {
        let logs: Vec<String> = Shards::at_first(Shards::MAX).all().map(|shard| shard.stream()).collect();
        let none = Vec::new();
        [
            Self::of("gateway", GATEWAY, &logs),
            Self::of("history-worker", HISTORY_WORKER, &logs),
            Self::of("search-worker", SEARCH_WORKER, &none),
            Self::of("auth-service", AUTH_SERVICE, &[KEYS_STREAM.to_owned(), PROFILES_STREAM.to_owned()]),
        ]
    }

    /// `erases`: the streams out of which it may take messages, one by one: texts of what was deleted, keys and names of who was
    /// erased.
    fn of(name: &'static str, (publish, subscribe): (&[&str], &[&str]), erases: &[String]) -> Self {
        let owned =
            |subjects: &[&str]| subjects.iter().map(|subject| (*subject).to_owned()).collect::<Vec<_>>();
        let erase = erases.iter().map(|stream| format!("$JS.API.STREAM.MSG.DELETE.{stream}"));
        Self {
            name,
            publish: [owned(&READ), owned(publish), erase.collect()].concat(),
            subscribe: [owned(subscribe), vec![format!("_INBOX_{name}.>")]].concat(),
        }
    }
}

/// As the server's configuration has them.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |subjects: &[String]| {
            subjects.iter().map(|subject| format!("\"{subject}\"")).collect::<Vec<_>>().join(", ")
        };
        let (publish, subscribe) = (list(&self.publish), list(&self.subscribe));
        write!(f, "{{ publish: [{publish}], subscribe: [{subscribe}], allow_responses: true }}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::subject::{KEY_ADMIN, KEY_REQUESTS, SEARCH_QUERIES};

    #[test]
    fn the_authorization_has_every_user_and_lets_the_set_up_step_alone_do_everything() {
        let text = authorization(|user| format!("\"of {user}\""));
        let lines: Vec<_> = text.lines().filter(|line| line.trim_start().starts_with("{ user:")).collect();
        for (user, line) in USERS.iter().zip(&lines) {
            assert!(line.contains(&format!("{{ user: {user}, password: \"of {user}\"")), "{line}");
            assert_eq!(line.contains("permissions"), *user != SETUP, "{line}");
        }
        assert_eq!(lines.len(), USERS.len());
    }

    fn has(subjects: &[String], subject: &str) -> bool {
        subjects.iter().any(|found| found == subject)
    }

    #[test]
    fn each_erases_from_the_streams_of_its_own_work_alone() {
        let logs: Vec<_> = (0..256).map(|shard| format!("CHAT_{shard}")).collect();
        let states = [KEYS_STREAM, PROFILES_STREAM].map(str::to_owned);
        let expected: [&[String]; 4] = [&logs, &logs, &[], &states];
        for (permissions, streams) in Permissions::of_all().iter().zip(expected) {
            let erase: Vec<_> = permissions
                .publish
                .iter()
                .filter_map(|subject| subject.strip_prefix("$JS.API.STREAM.MSG.DELETE."))
                .collect();
            assert_eq!(erase, streams, "{}", permissions.name);
        }
    }

    #[test]
    fn the_auth_service_alone_writes_keys_and_answers_for_them() {
        for Permissions { name, publish, subscribe } in Permissions::of_all() {
            assert_eq!(has(&publish, "chat.keys.>"), name == "auth-service", "{name}");
            for asked in [KEY_REQUESTS, KEY_ADMIN] {
                assert_eq!(has(&subscribe, asked), name == "auth-service", "{name} {asked}");
                assert_eq!(
                    has(&publish, asked),
                    name == "gateway" && asked == KEY_REQUESTS,
                    "{name} {asked}"
                );
            }
        }
    }

    #[test]
    fn the_search_worker_writes_nothing_and_nobody_else_hears_a_search() {
        for Permissions { name, publish, subscribe } in Permissions::of_all() {
            let hears = has(&subscribe, "chat.query.>") || has(&subscribe, SEARCH_QUERIES);
            assert_eq!(hears, name == "search-worker", "{name}");
            if hears {
                assert_eq!(publish, READ);
            }
        }
    }

    #[test]
    fn a_gateway_tells_and_hears_what_is_said_in_passing() {
        let [gateway, ..] = Permissions::of_all();
        assert!(has(&gateway.publish, "chat.message.>"));
        for soft in ["chat.presence.>", "chat.head.>"] {
            assert!(has(&gateway.publish, soft) && has(&gateway.subscribe, soft), "{soft}");
        }
    }

    #[test]
    fn nobody_creates_streams_or_consumers() {
        for Permissions { name, publish, .. } in Permissions::of_all() {
            assert!(!publish.iter().any(|subject| subject.contains("CREATE") || subject == ">"), "{name}");
        }
    }
}
