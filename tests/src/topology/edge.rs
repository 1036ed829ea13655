//! Envoy in front of gateways and auth services, as most data planes of the Gateway API have it: TLS ends here, what lies under
//! `/auth/` goes to an auth service and everything else to a gateway, and only to those that are ready.

use super::authority::Authority;
use super::piece::{Piece, Role};
use crate::files;
use crate::ports;
use crate::process::Launch;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const API: &str = "type.googleapis.com/envoy";
/// Longest wait for a connection to one of those behind it.
const CONNECT: &str = "1s";

pub struct Edge {
    launch: Launch,
    port: u16,
    admin: u16,
    folder: PathBuf,
    told: Vec<(Role, Vec<String>)>,
}

impl Edge {
    /// # Panics
    /// When `ENVOY` names no program, or a file can't be written.
    pub fn prepared(authority: &Authority, listen: &str, folder: &Path) -> Self {
        let program =
            std::env::var_os("ENVOY").expect("ENVOY names the load balancer (`scripts/envoy` fetches one)");
        let (_, port) = listen.rsplit_once(':').expect("an address has a port");
        let (port, admin) = (port.parse().expect("a port is a number"), ports::free());
        let pair = authority.signs("edge");
        let conf = folder.join("envoy.json");
        let launch = Launch::new(Path::new(&program), folder)
            .named("edge")
            .words("--disable-hot-restart --concurrency 2 --log-level warn -c")
            .argument(conf.to_string_lossy());
        let mut edge = Self { launch, port, admin, folder: folder.to_owned(), told: Vec::new() };
        let certificate = json!({
            "certificate_chain": { "filename": pair.certificate },
            "private_key": { "filename": pair.key },
        });
        files::replace(&conf, &edge.conf(&certificate).to_string());
        edge.send_to(&[]);
        edge
    }

    pub fn piece(&self) -> Piece {
        let admin = format!("127.0.0.1:{}", self.admin);
        Piece::of(Role::Edge, self.launch.clone(), Some(self.port), admin, "/ready")
    }

    /// From now on people are sent to those of these that are ready and not about to leave.
    pub fn send_to(&mut self, pieces: &[Piece]) {
        let of = |role: Role| {
            let there =
                pieces.iter().filter(|piece| piece.role == role && piece.is_ready && !piece.is_leaving);
            (role, there.filter_map(|piece| piece.address.clone()).collect::<Vec<_>>())
        };
        self.send_to_addresses([Role::Gateway, Role::Auth].map(of).into());
    }

    /// From now on people are sent to these.
    pub fn send_to_addresses(&mut self, all: Vec<(Role, Vec<String>)>) {
        if all != self.told {
            for (role, addresses) in &all {
                files::replace(&self.endpoints(*role), &assignment(*role, addresses).to_string());
            }
            self.told = all;
        }
    }

    fn endpoints(&self, role: Role) -> PathBuf {
        self.folder.join(format!("endpoints-{role}.json"))
    }

    fn conf(&self, certificate: &Value) -> Value {
        json!({
            "node": { "id": "edge", "cluster": "edge" },
            "admin": { "address": socket(&format!("127.0.0.1:{}", self.admin)) },
            "static_resources": {
                "listeners": [{
                    "name": "people",
                    "address": socket(&format!("127.0.0.1:{}", self.port)),
                    "filter_chains": [{
                        "transport_socket": {
                            "name": "envoy.transport_sockets.tls",
                            "typed_config": {
                                "@type": format!("{API}.extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
                                "common_tls_context": {
                                    "alpn_protocols": ["h2", "http/1.1"],
                                    "tls_certificates": [certificate],
                                },
                            },
                        },
                        "filters": [{
                            "name": "envoy.filters.network.http_connection_manager",
                            "typed_config": manager(),
                        }],
                    }],
                }],
                "clusters": [self.cluster(Role::Gateway), self.cluster(Role::Auth)],
            },
        })
    }

    fn cluster(&self, role: Role) -> Value {
        json!({
            "name": role.to_string(),
            "type": "EDS",
            "connect_timeout": CONNECT,
            "lb_policy": "ROUND_ROBIN",
            "eds_cluster_config": { "eds_config": { "path_config_source": { "path": self.endpoints(role) } } },
        })
    }
}

/// What is done with a request. One whose connection could not be made has reached nobody, and is sent to another.
fn manager() -> Value {
    let route = |prefix: &str, role: Role| {
        json!({
            "match": { "prefix": prefix },
            "route": {
                "cluster": role.to_string(),
                "retry_policy": { "retry_on": "connect-failure,refused-stream", "num_retries": 3 },
            },
        })
    };
    json!({
        "@type": format!("{API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "people",
        "use_remote_address": true,
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
        "route_config": {
            "virtual_hosts": [{
                "name": "chat",
                "domains": ["*"],
                "routes": [route("/auth/", Role::Auth), route("/", Role::Gateway)],
            }],
        },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": format!("{API}.extensions.filters.http.router.v3.Router") },
        }],
    })
}

fn socket(address: &str) -> Value {
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let port: u16 = port.parse().expect("a port is a number");
    json!({ "socket_address": { "address": host, "port_value": port } })
}

fn assignment(role: Role, addresses: &[String]) -> Value {
    let endpoint = |address: &String| json!({ "endpoint": { "address": socket(address) } });
    let endpoints: Vec<_> = addresses.iter().map(endpoint).collect();
    json!({
        "resources": [{
            "@type": format!("{API}.config.endpoint.v3.ClusterLoadAssignment"),
            "cluster_name": role.to_string(),
            "endpoints": [{ "lb_endpoints": endpoints }],
        }],
    })
}
