//! What is hurt: three NATS servers that are one, three gateways with a proxy on each side, the worker, the auth service.
//! What ends by itself is started again, as any place that runs services does.

use super::schedule::{Fault, Line, Piece, Role, Trouble};
use crate::cluster::Cluster;
use crate::nats::Nats;
use crate::process::Memory;
use crate::proxy::Proxy;
use crate::services::{Service, Services};
use crate::small_disk::SmallDisk;
use crate::straight::change_stream;
use broker::Broker;
use protocol::subject::{Shard, Shards};
use serde_json::json;
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
/// Room for what half an hour's talk stores, and for the servers' own logs of it.
const DISK_MIB: u32 = 512;
/// How a service ends that gives up while it runs.
const GAVE_UP: i32 = 1;
/// Longest wait until everything runs again after the last fault.
const HEALED: Duration = Duration::from_secs(120);

/// Everything. Dropping it ends it; the logs are kept then, unless [`Rig::is_fine`] was called.
pub struct Rig {
    services: Services<Cluster>,
    /// What each NATS server stores on, where this machine lets us mount small disks.
    disks: Vec<SmallDisk>,
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
        let disks: Vec<_> = (0..SERVERS).map_while(|_| SmallDisk::of(DISK_MIB)).collect();
        let store = |server| disks.get(server).map(SmallDisk::path);
        let nats = Cluster::on((0..SERVERS).map(store).collect()).await;
        let mut services = Services::on(nats, 0, &SETTINGS).await;
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
            disks,
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
                self.victim(piece).await.kill();
            }
            Fault::Pause(piece) => self.victim(piece).await.pause().await,
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
            Fault::DiskFull(role) => {
                let server = self.server(role).await;
                self.disks.get(server).inspect(|disk| disk.fill());
            }
        }
    }

    pub async fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(piece) => {
                self.victim(piece).await.start();
                self.down.retain(|down| *down != piece);
            }
            Fault::Pause(piece) => self.victim(piece).await.resume(),
            Fault::Roll(gateway) => {
                self.services.gateways[gateway].start_without_waiting();
                self.down.retain(|down| *down != Piece::Gateway(gateway));
            }
            Fault::Network(line, _) => self.networks(line).for_each(Proxy::mend),
            Fault::LogFull => self.limit_log(false).await,
            Fault::DiskFull(role) => {
                let server = self.server(role).await;
                self.disks.get(server).inspect(|disk| disk.free());
                self.services.nats.kill(server);
                self.services.nats.restart(server).await;
            }
        }
        if fault.is_of_the_broker() {
            self.hurt_server = None;
        }
    }

    /// The server that has this role, or had it when the fault that is not over yet began.
    async fn server(&mut self, role: Role) -> usize {
        if let Some(server) = self.hurt_server {
            return server;
        }
        let leader = self.services.nats.leader_of(&Shard(0).stream()).await;
        let server = match role {
            Role::Leader => leader,
            Role::Follower(places) => (leader + places) % SERVERS,
        };
        self.hurt_server = Some(server);
        server
    }

    async fn victim(&mut self, piece: Piece) -> Victim<'_> {
        if let Piece::Server(role) = piece {
            let server = self.server(role).await;
            return Victim::Server(self.services.nats.server_mut(server));
        }
        let service = self.services_mut().find(|(of, _)| *of == piece);
        Victim::Service(service.map(|(_, service)| service).expect("every other piece is a service"))
    }

    fn services_mut(&mut self) -> impl Iterator<Item = (Piece, &mut Service)> {
        let gateways = self.services.gateways.iter_mut().enumerate();
        let gateways = gateways.map(|(number, gateway)| (Piece::Gateway(number), gateway));
        gateways.chain([(Piece::Worker, &mut self.services.worker), (Piece::Auth, &mut self.services.auth)])
    }

    fn networks(&self, line: Line) -> Box<dyn Iterator<Item = &Proxy> + '_> {
        match line {
            Line::ToGateway(gateway) => Box::new(std::iter::once(&self.doors[gateway])),
            Line::ToBroker(gateway) => Box::new(self.lines[gateway].iter()),
        }
    }

    /// Lets each stream of the log grow no more, or again as much as it wants. Servers that still choose who leads them answer nothing,
    /// so it is asked again.
    async fn limit_log(&mut self, full: bool) {
        for shard in Shards::at_first(SHARDS).all() {
            let deadline = Instant::now() + HEALED;
            while let Err(why) = self.limit_stream(&shard.stream(), full).await {
                if Instant::now() > deadline {
                    self.complaints.push(format!("the limit of {} can't be set: {why}", shard.stream()));
                    break;
                }
                sleep(Duration::from_millis(500)).await;
            }
        }
    }

    async fn limit_stream(&self, stream: &str, full: bool) -> Result<(), String> {
        change_stream(&self.broker, stream, |config, state| {
            config["max_bytes"] = if full { state["bytes"].clone() } else { json!(-1) };
        })
        .await
    }

    /// Starts again what has ended by itself. It may, for want of a broker, but not otherwise.
    pub fn watch(&mut self) {
        let down = self.down.clone();
        let mut crashes = Vec::new();
        let ended =
            self.services_mut().filter(|(piece, _)| !down.contains(piece)).filter_map(|(piece, service)| {
                let code = service.exit_code()?;
                if code != GAVE_UP {
                    crashes.push(format!("{piece} ended by itself with {code}"));
                }
                service.start_without_waiting();
                Some(())
            });
        let ended = ended.count();
        self.restarts += ended;
        self.complaints.extend(crashes);
    }

    /// Waits until everything is ready, or says what is not in time.
    pub async fn heals(&mut self) {
        self.services.nats.healthy().await;
        let deadline = Instant::now() + HEALED;
        while let Some(piece) = self.not_ready().await {
            if Instant::now() > deadline {
                self.complaints.push(format!("{piece} is not ready {HEALED:?} after the last fault"));
                return;
            }
            self.watch();
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn not_ready(&mut self) -> Option<Piece> {
        for (piece, service) in self.services_mut() {
            if !service.is_ready().await {
                return Some(piece);
            }
        }
        None
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

/// A process to be hurt.
enum Victim<'a> {
    Service(&'a mut Service),
    Server(&'a mut Nats),
}

impl Victim<'_> {
    fn kill(&mut self) {
        match self {
            Self::Service(service) => service.kill(),
            Self::Server(server) => server.kill(),
        }
    }

    fn start(&mut self) {
        match self {
            Self::Service(service) => service.start_without_waiting(),
            Self::Server(server) => server.start_without_waiting(),
        }
    }

    async fn pause(&mut self) {
        match self {
            Self::Service(service) => service.pause().await,
            Self::Server(server) => server.pause().await,
        }
    }

    fn resume(&mut self) {
        match self {
            Self::Service(service) => service.resume(),
            Self::Server(server) => server.resume(),
        }
    }
}
