//! The settings of the single-node edition: its own few, and those of the three services inside it.

use std::net::SocketAddr;
use std::path::PathBuf;

use service::config::{Inside, Settings, Source};

/// Everything that can be set. The services' settings keep their own names (`BACKCHAT_GATEWAY_…`), less those that follow from
/// running in one process.
pub struct Config {
    pub listen: SocketAddr,
    pub data: PathBuf,
    pub nats_server: Option<PathBuf>,
    pub gateway: gateway::Config,
    pub worker: history_worker::Config,
    pub auth: auth_service::Config,
}

/// An operations address of its own for each service, which the system chooses.
const OPERATIONS: (&str, &str) = ("operations", "127.0.0.1:0");

impl Settings for Config {
    const SERVICE: &'static str = "backchat";

    fn read(source: &mut Source) -> Self {
        let listen = source.value("listen", "127.0.0.1:8080", "Address of pages and sockets");
        let data =
            source.value("data", "./data", "Folder that holds everything; it is created where it is missing");
        let nats_server = source.optional(
            "nats_server",
            "The nats-server program, 2.12 or newer; by default the one on PATH, else the one that make installed",
        );
        let origins: String = source.value(
            "public_origins",
            "",
            "The addresses under which browsers reach the chat, such as https://chat.example, with commas between them. \
             Empty: the Host header must match",
        );
        let defaults = [OPERATIONS, ("public_origins", origins.as_str())];
        Self {
            listen,
            data,
            nats_server,
            gateway: source.nested(&Inside {
                decided: &["listen", "nats_url", "nats_user", "nats_password", "auth_upstream"],
                defaults: &defaults,
            }),
            worker: source.nested(&Inside {
                decided: &["nats_url", "nats_user", "nats_password", "database"],
                defaults: &[OPERATIONS],
            }),
            auth: source.nested(&Inside {
                decided: &["listen", "nats_url", "nats_user", "nats_password", "database"],
                defaults: &defaults,
            }),
        }
    }
}
