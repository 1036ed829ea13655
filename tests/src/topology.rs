//! The whole of backchat as in production, on one machine: every piece a process of its own, several of those that scale, TLS on
//! every way that leaves a process, a user of its own at broker and database for each service, and a load balancer in front.
//!
//! It does what Kubernetes does with the same programs: asks each whether it is ready and sends people to those that are, starts
//! again what ended, replaces by starting the new one first (where nothing on disk forbids it), and gives the old one its grace.

pub mod authority;
mod brokers;
pub mod control;
mod database;
pub(crate) mod edge;
mod piece;
mod roll;
mod settings;
mod stopping;
pub mod verify;
mod visits;

pub use piece::{Piece, Role};
pub use roll::Rolled;

use crate::http::Ask;
use crate::keys;
use crate::nats;
use crate::ports;
use crate::process::{Launch, built};
use crate::wire;
use authority::Authority;
use broker::{Broker, Credentials, SETUP};
use brokers::Brokers;
use database::Database;
use edge::Edge;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How often it is looked whether each is ready.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for its answer.
const ANSWER: Duration = Duration::from_secs(1);
/// Longest wait until something that was started is ready, unless somebody has less patience.
const START: Duration = Duration::from_secs(120);
/// On how many NATS servers each stream is kept, and how many there are.
const BROKERS: usize = 3;
/// Sockets above which a gateway gives some to those that have fewer.
const SOCKETS_TARGET: usize = 50;

/// How many there are of what scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub gateways: usize,
    pub workers: usize,
    pub auths: usize,
    pub shards: u16,
}

/// Everything that runs. Dropping it kills it.
pub struct Topology {
    pub pieces: Vec<Piece>,
    places: Places,
    edge: Edge,
    database: Database,
    brokers: Brokers,
    size: Size,
    /// How many of a role were started so far: each has a name of its own.
    started: BTreeMap<Role, usize>,
    /// Pieces that ended without having been asked to and were started again, with their exit codes.
    pub restarts: Vec<(String, i32)>,
    /// Longest wait until something that was started is ready.
    pub patience: Duration,
    /// Where the list of processes is written.
    list: PathBuf,
    listed: String,
}

/// What every piece is started with.
struct Places {
    folder: PathBuf,
    authority: Authority,
    listen: String,
}

impl Topology {
    /// Starts everything in an empty folder, and writes the list of processes to `list`.
    ///
    /// # Panics
    /// When something can't be started, or is not ready in time.
    pub async fn start(size: Size, listen: &str, folder: &Path, list: &Path) -> Self {
        let mut topology = Self::empty(size, listen, folder, list).await;
        topology.set_up().await;
        topology.starts(&[]).await.expect("everything is ready");
        topology
    }

    /// The same without streams and without tables: broker and database run, and everything else waits until it is started.
    ///
    /// # Panics
    /// As [`Topology::start`].
    pub async fn empty(size: Size, listen: &str, folder: &Path, list: &Path) -> Self {
        let authority = Authority::made_in(folder);
        let places = Places { folder: folder.to_owned(), authority, listen: listen.to_owned() };
        let brokers = Brokers::prepared(&places.authority, BROKERS, folder);
        let database = Database::prepared(&places.authority, folder);
        let edge = Edge::prepared(&places.authority, listen, folder);
        let mut topology = Self {
            pieces: brokers.pieces().chain([database.piece()]).collect(),
            places,
            edge,
            database,
            brokers,
            size,
            started: BTreeMap::new(),
            restarts: Vec::new(),
            patience: START,
            list: list.to_owned(),
            listed: String::new(),
        };
        topology.pieces.iter_mut().for_each(Piece::start);
        topology.all_ready().await.expect("broker and database are ready");
        let services = [
            (Role::Auth, size.auths),
            (Role::HistoryWorker, size.workers),
            (Role::SearchWorker, 1),
            (Role::Gateway, size.gateways),
        ];
        for (role, count) in services {
            for _ in 0..count {
                topology.add(role);
            }
        }
        topology.pieces.push(topology.edge.piece());
        wire::trust(&topology.address(), &topology.places.authority.file());
        settings::write(&topology);
        topology.look().await;
        topology
    }

    /// Where people come in.
    pub fn address(&self) -> String {
        format!("https://{}", self.places.listen)
    }

    /// The certificate with which everything is signed.
    pub fn authority(&self) -> PathBuf {
        self.places.authority.file()
    }

    /// A connection to the broker of somebody who may do everything.
    ///
    /// # Panics
    /// When none comes about.
    pub async fn broker(&self) -> Broker {
        nats::connect(self.credentials(SETUP)).await
    }

    fn credentials(&self, user: &str) -> Credentials {
        Credentials {
            user: Some(user.to_owned()),
            password: Some(self.brokers.password(user).to_owned()),
            ca: Some(self.authority()),
            ..Credentials::of_nobody(self.brokers.urls(), user)
        }
    }

    pub fn of(&self, role: Role) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(move |piece| piece.role == role)
    }

    async fn set_up(&self) {
        let ended = self.setup().to_the_end(START).await;
        assert_eq!(ended.code, 0, "the set-up failed: {}", ended.output);
    }

    fn setup(&self) -> Launch {
        let launch = Launch::new(&built("backchat-setup"), &self.places.folder)
            .set("BACKCHAT_SETUP_SHARDS", self.size.shards)
            .set("BACKCHAT_SETUP_REPLICAS", BROKERS);
        self.at_broker(launch, "BACKCHAT_SETUP", SETUP)
    }

    fn at_broker(&self, launch: Launch, prefix: &str, user: &str) -> Launch {
        launch
            .set(&format!("{prefix}_NATS_URL"), self.brokers.urls())
            .set(&format!("{prefix}_NATS_USER"), user)
            .set(&format!("{prefix}_NATS_PASSWORD"), self.brokers.password(user))
            .set(&format!("{prefix}_NATS_CA"), self.authority().display())
    }

    /// One more of a service, not started yet.
    fn add(&mut self, role: Role) -> &mut Piece {
        let number = self.started.entry(role).or_default();
        *number += 1;
        let name = format!("{role}-{number}");
        self.pieces.push(self.service(role, &name));
        self.pieces.last_mut().expect("it was just added")
    }

    fn service(&self, role: Role, name: &str) -> Piece {
        let (program, prefix) = (role.to_string(), role.prefix());
        let (public, operations) = (ports::free(), ports::free());
        let folder = &self.places.folder;
        let mut launch = Launch::new(&built(&program), folder)
            .named(name)
            .set(&format!("{prefix}_OPERATIONS"), format!("127.0.0.1:{operations}"));
        launch = self.at_broker(launch, &prefix, &program);
        if role != Role::HistoryWorker {
            launch = launch.set(&format!("{prefix}_ROOTS"), keys::folder());
        }
        launch = match role {
            Role::HistoryWorker => {
                launch.set(&format!("{prefix}_DATABASE"), self.database.address("history"))
            }
            Role::SearchWorker => launch.set(&format!("{prefix}_INDEX"), folder.join(name).display()),
            _ => launch
                .set(&format!("{prefix}_LISTEN"), format!("127.0.0.1:{public}"))
                .set(&format!("{prefix}_PUBLIC_ORIGINS"), self.address()),
        };
        if role == Role::Auth {
            launch = launch.set(&format!("{prefix}_DATABASE"), self.database.address("auth"));
        }
        if role == Role::Gateway {
            // The edge is one address, and stands for all whom it serves.
            launch = launch
                .set(&format!("{prefix}_HTTP_CONNECTIONS_PER_ADDRESS_MAX"), 20_000)
                .set(&format!("{prefix}_SOCKETS_TARGET"), SOCKETS_TARGET);
        }
        let public = role.is_public().then_some(public);
        Piece::of(role, launch, public, format!("127.0.0.1:{operations}"), "/readyz")
    }

    /// Looks at everything once: starts again what ended, tells the edge who is ready, writes the list.
    pub async fn look(&mut self) {
        for piece in &mut self.pieces {
            if let Some(code) = piece.ended_with() {
                piece.start();
                self.restarts.push((piece.name.clone(), code));
            }
        }
        for piece in &mut self.pieces {
            let asked = timeout(ANSWER, Ask::get(piece.ready_path).try_send(&piece.operations)).await;
            piece.is_ready = matches!(asked, Ok(Ok(answer)) if answer.status == 200);
        }
        self.edge.send_to(&self.pieces);
        self.write_list();
    }

    /// Looks until `until` says so.
    ///
    /// # Errors
    /// A sentence, when it does not in time.
    pub async fn look_until(&mut self, what: &str, until: impl Fn(&Self) -> bool) -> Result<(), String> {
        let patience = self.patience;
        let deadline = Instant::now() + patience;
        loop {
            self.look().await;
            if until(self) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let missing = self.pieces.iter().filter(|piece| piece.runs() && !piece.is_ready);
                let missing: Vec<_> = missing.map(|piece| piece.name.as_str()).collect();
                return Err(format!("{what}: not after {patience:?}; not ready: {missing:?}"));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until everything that runs is ready.
    ///
    /// # Errors
    /// A sentence, when something is not in time.
    pub async fn all_ready(&mut self) -> Result<(), String> {
        self.look_until("everything that runs is ready", Self::is_ready).await
    }

    /// Whether everything that runs was ready when it was looked at last.
    fn is_ready(&self) -> bool {
        self.pieces.iter().all(|piece| !piece.runs() || piece.is_ready)
    }

    /// Stops everything: people's way in first, what all depend on last. Gives a sentence for each that did not stop in order.
    pub async fn stop(&mut self) -> Vec<String> {
        let mut disorder = Vec::new();
        while let Some(mut piece) = self.pieces.pop() {
            disorder.extend(piece.stop().await.err());
        }
        let _ = fs::remove_file(&self.list);
        disorder
    }

    fn write_list(&mut self) {
        let processes: Vec<_> = self.pieces.iter().filter_map(Piece::listed).collect();
        let list = json!({
            "address": self.address(),
            "ca": self.authority(),
            "control": control::socket_in(&self.places.folder),
            "logs": self.places.folder,
            "nats": {
                "url": self.brokers.urls(),
                "user": SETUP,
                "password": self.brokers.password(SETUP),
            },
            "databases": {
                "history": self.database.address("history"),
                "auth": self.database.address("auth"),
            },
            "processes": processes,
        });
        let text = format!("{list:#}\n");
        if text != self.listed {
            crate::files::replace(&self.list, &text);
            self.listed = text;
        }
    }
}
