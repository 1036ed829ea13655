//! The services as separate processes, as in production, on one machine: a broker, the set-up step, one auth service, one
//! history worker, any number of gateways, and a search worker for those who want it.

use crate::http::Ask;
use crate::metrics;
use crate::nats::Nats;
use crate::ports;
use crate::process::{Ended, Launch, Memory, Program, built};
use crate::usage::Usage;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait until a service is ready.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(40);

/// What services reach the broker at: one server, or several that are one.
pub trait Servers {
    /// The addresses of all servers, with commas between.
    fn urls(&self) -> String;

    /// On how many servers each stream is to be kept.
    fn replicas(&self) -> usize;

    /// The folders with the servers' settings and logs.
    fn folders(&self) -> Vec<&Path>;
}

pub struct Services<N = Nats> {
    pub gateways: Vec<Service>,
    pub auth: Service,
    pub worker: Service,
    /// Not started unless a test does so: nothing else waits for it.
    pub search: Service,
    pub nats: N,
    settings: Vec<(String, String)>,
    folder: TempDir,
}

/// One process, which can be hurt and started again on the same ports.
pub struct Service {
    launch: Launch,
    program: Option<Program>,
    operations: u16,
    public: u16,
}

impl Services {
    /// Starts everything, with so many gateways and no limit on how fast one person sends.
    pub async fn start(gateways: usize) -> Self {
        Self::with(gateways, &[]).await
    }

    /// Starts everything with these variables set besides.
    pub async fn with(gateways: usize, settings: &[(&str, &str)]) -> Self {
        Self::on(Nats::start().await, gateways, settings).await
    }
}

impl<N: Servers> Services<N> {
    /// Sets this empty broker up and starts everything else on it.
    pub async fn on(nats: N, gateways: usize, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings: Vec<_> = crate::backchat::UNLIMITED.iter().chain(settings).map(owned).collect();
        let place = Place { urls: nats.urls(), folder: folder.path(), settings: &settings };
        place.set_up(nats.replicas()).await;
        let auth = place.service("auth-service", "auth-service", Some("auth"));
        let worker = place.service("history-worker", "history-worker", Some("history"));
        let search = place.service("search-worker", "search-worker", None);
        let mut services = Self { gateways: Vec::new(), auth, worker, search, nats, settings, folder };
        services.auth.start().await;
        services.worker.start().await;
        for _ in 0..gateways {
            services.add_gateway().await;
        }
        services
    }

    /// One more gateway; gives its place among them.
    pub async fn add_gateway(&mut self) -> usize {
        let urls = self.nats.urls();
        self.add_gateway_at(&urls).await
    }

    /// One more gateway, which reaches the broker at this address, or these with commas between.
    pub async fn add_gateway_at(&mut self, nats_urls: &str) -> usize {
        let number = self.gateways.len();
        let place =
            Place { urls: nats_urls.to_owned(), folder: self.folder.path(), settings: &self.settings };
        let mut gateway = place.service("gateway", &format!("gateway-{number}"), None);
        gateway.launch = gateway.launch.set("BACKCHAT_GATEWAY_AUTH_UPSTREAM", self.auth.address());
        gateway.start().await;
        self.gateways.push(gateway);
        number
    }

    /// Starts another search worker, with an index of its own.
    pub async fn another_search(&self) -> Service {
        let place = Place { urls: self.nats.urls(), folder: self.folder.path(), settings: &self.settings };
        let mut search = place.service("search-worker", "another-search", None);
        let index = self.folder.path().join("another-search");
        search.launch = search.launch.set("BACKCHAT_SEARCH_WORKER_INDEX", index.display());
        search.start().await;
        search
    }

    /// Another history worker on this database, which is not started yet.
    pub fn another_worker(&self, database: &str) -> Service {
        let place = Place { urls: self.nats.urls(), folder: self.folder.path(), settings: &self.settings };
        let mut worker = place.service("history-worker", "another-worker", None);
        worker.launch = worker.launch.set("BACKCHAT_HISTORY_WORKER_DATABASE", database);
        worker
    }

    /// The folder of the search index.
    pub fn index(&self) -> PathBuf {
        self.folder.path().join("search")
    }

    /// Deletes the auth service's database, which it must not have open.
    pub fn lose_accounts(&self) {
        std::fs::remove_dir_all(self.folder.path().join("auth")).expect("there is a database");
    }

    /// Where people come in.
    pub fn address(&self, gateway: usize) -> String {
        self.gateways[gateway].address()
    }

    /// Copies what every program said into a folder, to be looked at later.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn save_logs(&self, into: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(into)?;
        for folder in self.nats.folders().into_iter().chain([self.folder.path()]) {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if let Some(name) =
                    path.file_name().filter(|_| path.extension().is_some_and(|it| it == "log"))
                {
                    std::fs::copy(&path, into.join(name))?;
                }
            }
        }
        Ok(())
    }
}

/// What all services of one installation share.
struct Place<'a> {
    urls: String,
    folder: &'a Path,
    settings: &'a [(String, String)],
}

impl Place<'_> {
    fn service(&self, program: &str, name: &str, database: Option<&str>) -> Service {
        let (public, operations) = (ports::free(), ports::free());
        let prefix = prefix(program);
        let mut launch = Launch::new(&built(program), self.folder)
            .named(name)
            .set(&format!("{prefix}_NATS_URL"), &self.urls)
            .set(&format!("{prefix}_OPERATIONS"), format!("127.0.0.1:{operations}"));
        if program != "history-worker" {
            launch = launch.set(&format!("{prefix}_ROOTS"), crate::keys::folder());
        }
        if program == "search-worker" {
            launch = launch.set(&format!("{prefix}_INDEX"), self.folder.join("search").display());
        } else if program != "history-worker" {
            launch = launch.set(&format!("{prefix}_LISTEN"), format!("127.0.0.1:{public}"));
        }
        if let Some(database) = database {
            let path = self.folder.join(database);
            launch = launch
                .set(&format!("{prefix}_DATABASE"), format!("surrealkv://{}?sync=every", path.display()));
        }
        Service { launch: self.with_settings(launch, &prefix), program: None, operations, public }
    }

    async fn set_up(&self, replicas: usize) {
        let launch = Launch::new(&built("backchat-setup"), self.folder)
            .set("BACKCHAT_SETUP_NATS_URL", &self.urls)
            .set("BACKCHAT_SETUP_REPLICAS", replicas);
        let ended = self.with_settings(launch, "BACKCHAT_SETUP").to_the_end(START).await;
        assert_eq!(ended.code, 0, "the set-up failed: {}", ended.output);
    }

    fn with_settings(&self, launch: Launch, prefix: &str) -> Launch {
        let own = self.settings.iter().filter(|(variable, _)| variable.starts_with(prefix));
        own.fold(launch, |launch, (variable, value)| launch.set(variable, value))
    }
}

/// How the names of a program's settings begin.
fn prefix(program: &str) -> String {
    format!("BACKCHAT_{}", program.to_uppercase().replace('-', "_"))
}

impl Service {
    /// Has it started with this variable from now on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.launch = self.launch.clone().set(variable, value);
    }

    /// Starts it (again) and waits until it is ready.
    pub async fn start(&mut self) {
        self.start_without_waiting();
        self.ready().await;
    }

    pub fn start_without_waiting(&mut self) {
        self.program = None;
        self.program = Some(Program::start(self.launch.clone()));
    }

    pub async fn ready(&mut self) {
        let operations = self.operations();
        self.running().ready_at(&operations, "/readyz", START).await;
    }

    /// Whether it says of itself that it is ready.
    pub async fn is_ready(&self) -> bool {
        Ask::get("/readyz").try_send(&self.operations()).await.is_ok_and(|answer| answer.status == 200)
    }

    /// Has its program do this with the service's settings, to its end.
    pub async fn told(&self, words: &str) -> Ended {
        let name = format!("{}-{}", self.launch.name, words.replace(' ', "-"));
        self.launch.clone().named(&name).words(words).to_the_end(START).await
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.running().kill();
    }

    /// Asks it to stop and gives its exit code.
    pub async fn terminate(&mut self) -> i32 {
        self.is_asked_to_stop();
        self.ends().await
    }

    pub fn is_asked_to_stop(&mut self) {
        self.running().terminate();
    }

    /// Waits for its end and gives its exit code.
    pub async fn ends(&mut self) -> i32 {
        self.running().ended(STOP).await
    }

    /// Has it crash, and says whether that left a core file.
    pub fn crashes(&mut self) -> bool {
        self.program.as_mut().is_some_and(Program::crashes)
    }

    pub async fn pause(&mut self) {
        self.running().pause().await;
    }

    pub fn resume(&mut self) {
        self.running().resume();
    }

    pub fn is_running(&mut self) -> bool {
        self.program.as_mut().is_some_and(Program::is_running)
    }

    /// How it ended; `None` while it runs, or when it was killed.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.program.as_mut()?.exit_code()
    }

    /// Where its pages and sockets are.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.public)
    }

    /// Where its health and metrics are.
    pub fn operations(&self) -> String {
        format!("127.0.0.1:{}", self.operations)
    }

    /// What the process takes and counts.
    ///
    /// # Panics
    /// When it was not started.
    pub fn usage(&self) -> Usage {
        let program = self.program.as_ref().expect("the service was started");
        Usage::of(program.id(), &self.operations())
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it was not started.
    pub fn id(&self) -> u32 {
        self.program.as_ref().expect("the service was started").id()
    }

    /// How the harness calls it.
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// One of its metrics now: `sockets`, or `published_total{outcome="stored"}`; without a label, all series of the name
    /// together. `None` when it does not answer.
    pub async fn metric(&self, name: &str) -> Option<u64> {
        let program = self.launch.program.file_name()?.to_string_lossy().replace('-', "_");
        metrics::read(&self.operations(), &format!("backchat_{program}_{name}")).await
    }

    /// Memory that it takes, while it runs.
    pub fn memory(&self) -> Option<Memory> {
        self.program.as_ref()?.memory()
    }

    pub fn log(&self) -> String {
        self.program.as_ref().map(Program::log).unwrap_or_default()
    }

    pub async fn ended(&mut self, patience: Duration) -> i32 {
        self.running().ended(patience).await
    }

    fn running(&mut self) -> &mut Program {
        self.program.as_mut().expect("the service was started")
    }
}
