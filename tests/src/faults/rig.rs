//! What is hurt: three NATS servers that are one, three gateways with a proxy on each side, the worker, the auth service.
//! What ends by itself is started again, as any place that runs services does.

use super::schedule::{Fault, Line, Piece, Trouble};
use crate::cluster::Cluster;
use crate::process::Memory;
use crate::proxy::Proxy;
use crate::services::{Service, Services};
use broker::Broker;
use protocol::subject::Shard;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub const GATEWAYS: usize = 3;
const SERVERS: usize = 3;
/// Shards of the log, so that its streams have different leaders.
const SHARDS: u16 = 2;
/// Quick, so that what a black hole leaves behind is gone when the run ends.
const SETTINGS: [(&str, &str); 4] = [
    ("BACKCHAT_SETUP_SHARDS", "2"),
    ("BACKCHAT_GATEWAY_DRAIN_MS", "2000"),
    ("BACKCHAT_GATEWAY_PING_INTERVAL_MS", "4000"),
    ("BACKCHAT_AUTH_SERVICE_TOKEN_LIFE_S", "120"),
];
/// Longest wait until everything runs again after the last fault.
const HEALED: Duration = Duration::from_secs(120);
/// Longest wait for one answer of the broker's API.
const ANSWER: Duration = Duration::from_secs(5);

/// Everything. Dropping it ends it; the logs are kept then, unless [`Rig::is_fine`] was called.
pub struct Rig {
    services: Services<Cluster>,
    /// In front of each gateway.
    doors: Vec<Proxy>,
    /// Between each gateway and each NATS server.
    lines: Vec<Vec<Proxy>>,
    /// The NATS server that a fault has taken away.
    hurt_server: Option<usize>,
    /// Services that are down because a fault wants it so.
    down: Vec<Piece>,
    broker: Broker,
    logs: PathBuf,
    keep_logs: bool,
    /// What should not have happened.
    pub complaints: Vec<String>,
    /// Services that ended by themselves and were started again.
    pub restarts: usize,
}

impl Rig {
    /// Starts everything; what programs say is copied to `logs` at the end of a run that is not fine.
    pub async fn start(logs: PathBuf) -> Self {
        let mut services = Services::on(Cluster::start(SERVERS).await, 0, &SETTINGS).await;
        let (mut doors, mut lines) = (Vec::new(), Vec::new());
        for gateway in 0..GATEWAYS {
            let mut ways = Vec::new();
            for server in 0..SERVERS {
                ways.push(Proxy::to(&services.nats.address(server)).await);
            }
            let urls: Vec<_> = ways.iter().map(|way| format!("nats://{}", way.address())).collect();
            services.add_gateway_at(&urls.join(",")).await;
            lines.push(ways);
            doors.push(Proxy::to(&services.address(gateway)).await);
        }
        let broker = services.nats.connect().await;
        Self {
            services,
            doors,
            lines,
            hurt_server: None,
            down: Vec::new(),
            broker,
            logs,
            keep_logs: true,
            complaints: Vec::new(),
            restarts: 0,
        }
    }

    /// The way past every proxy to a gateway.
    pub fn address(&self, gateway: usize) -> String {
        self.services.address(gateway)
    }

    /// The ways that clients take, one to each gateway.
    pub fn doors(&self) -> Vec<String> {
        self.doors.iter().map(|door| door.address().to_owned()).collect()
    }

    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The logs are not needed.
    pub fn is_fine(&mut self) {
        self.keep_logs = false;
    }

    pub async fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(piece) => {
                self.down.push(piece);
                match piece {
                    Piece::Leader | Piece::Follower(_) => {
                        let server = self.server_to_hurt(piece).await;
                        self.services.nats.kill(server);
                    }
                    _ => self.service(piece).kill(),
                }
            }
            Fault::Pause(piece) => match piece {
                Piece::Leader | Piece::Follower(_) => {
                    let server = self.server_to_hurt(piece).await;
                    self.services.nats.pause(server);
                }
                _ => self.service(piece).pause(),
            },
            Fault::Roll(gateway) => {
                self.down.push(Piece::Gateway(gateway));
                let code = self.services.gateways[gateway].terminate().await;
                if code != 0 {
                    self.complaints
                        .push(format!("gateway {gateway} was asked to stop and ended with {code}"));
                }
            }
            Fault::Network(line, trouble) => self.networks(line).for_each(|network| match trouble {
                Trouble::Cut => network.cut(),
                Trouble::CutOff => network.cut_off(),
                Trouble::BlackHole => network.black_hole(),
                Trouble::Slow(ms) => network.slow(Duration::from_millis(ms)),
            }),
            Fault::LogFull => self.limit_log(true).await,
        }
    }

    pub async fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(piece) => {
                self.down.retain(|down| *down != piece);
                match piece {
                    Piece::Leader | Piece::Follower(_) => {
                        let server = self.hurt_server.take().expect("a fault that ends has begun");
                        self.services.nats.restart(server).await;
                    }
                    _ => self.service(piece).start_without_waiting(),
                }
            }
            Fault::Pause(piece) => match piece {
                Piece::Leader | Piece::Follower(_) => {
                    let server = self.hurt_server.take().expect("a fault that ends has begun");
                    self.services.nats.resume(server);
                }
                _ => self.service(piece).resume(),
            },
            Fault::Roll(gateway) => {
                self.down.retain(|down| *down != Piece::Gateway(gateway));
                self.services.gateways[gateway].start_without_waiting();
            }
            Fault::Network(line, _) => self.networks(line).for_each(Proxy::mend),
            Fault::LogFull => self.limit_log(false).await,
        }
    }

    async fn server_to_hurt(&mut self, piece: Piece) -> usize {
        let leader = self.services.nats.leader_of(&Shard(0).stream()).await;
        let behind = if let Piece::Follower(places) = piece { places } else { 0 };
        let server = (leader + behind) % SERVERS;
        self.hurt_server = Some(server);
        server
    }

    fn service(&mut self, piece: Piece) -> &mut Service {
        match piece {
            Piece::Gateway(gateway) => &mut self.services.gateways[gateway],
            Piece::Auth => &mut self.services.auth,
            Piece::Worker => &mut self.services.worker,
            Piece::Leader | Piece::Follower(_) => unreachable!("a NATS server is no service"),
        }
    }

    fn networks(&self, line: Line) -> Box<dyn Iterator<Item = &Proxy> + '_> {
        match line {
            Line::ToGateway(gateway) => Box::new(std::iter::once(&self.doors[gateway])),
            Line::ToBroker(gateway) => Box::new(self.lines[gateway].iter()),
        }
    }

    /// Lets each stream of the log grow no more, or again as much as it wants.
    async fn limit_log(&mut self, full: bool) {
        for shard in Shard::all(SHARDS) {
            let deadline = Instant::now() + HEALED;
            while let Err(why) = self.limit_stream(&shard.stream(), full).await {
                if full || Instant::now() > deadline {
                    self.complaints.push(format!("the limit of {} can't be set: {why}", shard.stream()));
                    break;
                }
                sleep(Duration::from_millis(500)).await;
            }
        }
    }

    async fn limit_stream(&self, stream: &str, full: bool) -> Result<(), String> {
        let ask = async |verb: &str, question: &Value| {
            let asked = self.broker.ask(format!("$JS.API.STREAM.{verb}.{stream}"), question, ANSWER).await;
            asked.map_err(|error| error.to_string())
        };
        let info: Value = ask("INFO", &json!({})).await?;
        let mut config = info["config"].clone();
        config["max_bytes"] = if full { info["state"]["bytes"].clone() } else { json!(-1) };
        let answer: Value = ask("UPDATE", &config).await?;
        answer.get("error").map_or(Ok(()), |error| Err(error.to_string()))
    }

    /// Starts again what has ended by itself.
    pub fn watch(&mut self) {
        for piece in pieces() {
            if !self.down.contains(&piece) && !self.service(piece).is_running() {
                self.restarts += 1;
                self.service(piece).start_without_waiting();
            }
        }
    }

    /// Waits until everything is ready; `false` when it is not in time.
    pub async fn heals(&mut self) -> bool {
        self.services.nats.healthy().await;
        let deadline = Instant::now() + HEALED;
        for piece in pieces() {
            while !self.service(piece).is_ready().await {
                if Instant::now() > deadline {
                    self.complaints.push(format!("{piece} is not ready {HEALED:?} after the last fault"));
                    return false;
                }
                self.watch();
                sleep(Duration::from_millis(200)).await;
            }
        }
        true
    }

    /// Open sockets, as the gateways count them.
    pub async fn sockets(&self) -> u64 {
        self.count("sockets").await
    }

    /// The sum of a metric of all gateways.
    pub async fn count(&self, metric: &str) -> u64 {
        let mut sum = 0;
        for gateway in &self.services.gateways {
            sum += gateway.metric(metric).await.unwrap_or(0);
        }
        sum
    }

    /// What each process takes.
    pub fn memory(&self) -> Vec<(String, Memory)> {
        let services = self.services.gateways.iter().chain([&self.services.worker, &self.services.auth]);
        let services = services.filter_map(|service| Some((service.name().to_owned(), service.memory()?)));
        let servers = (0..SERVERS).filter_map(|server| {
            Some((format!("nats-{server}"), self.services.nats.server(server).memory()?))
        });
        services.chain(servers).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.keep_logs {
            // A run that fails says so in any case.
            let _ = self.services.save_logs(&self.logs);
        }
    }
}

/// Every service.
fn pieces() -> impl Iterator<Item = Piece> {
    (0..GATEWAYS).map(Piece::Gateway).chain([Piece::Worker, Piece::Auth])
}
