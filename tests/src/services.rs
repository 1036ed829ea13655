//! The services as separate processes, as in production, on one machine: a broker, the set-up step, one auth service, one
//! history worker, and any number of gateways.

use crate::nats::Nats;
use crate::ports;
use crate::process::{Launch, Program, built};
use crate::usage::Usage;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait until a service is ready.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(40);

pub struct Services {
    pub gateways: Vec<Service>,
    pub auth: Service,
    pub worker: Service,
    pub nats: Nats,
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
        let nats = Nats::start().await;
        let folder = tempfile::tempdir().expect("there is room for a folder");
        set_up(&nats, folder.path()).await;
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings: Vec<_> = crate::backchat::UNLIMITED.iter().chain(settings).map(owned).collect();
        let place = Place { nats: &nats, folder: folder.path(), settings: &settings };
        let auth = place.service("auth-service", "auth-service", Some("auth"));
        let worker = place.service("history-worker", "history-worker", Some("history"));
        let mut services = Self { gateways: Vec::new(), auth, worker, nats, settings, folder };
        services.auth.start().await;
        services.worker.start().await;
        for _ in 0..gateways {
            services.add_gateway().await;
        }
        services
    }

    /// One more gateway; gives its place among them.
    pub async fn add_gateway(&mut self) -> usize {
        let url = self.nats.url();
        self.add_gateway_at(&url).await
    }

    /// One more gateway, which reaches the broker at this address.
    pub async fn add_gateway_at(&mut self, nats_url: &str) -> usize {
        let number = self.gateways.len();
        let place = Place { nats: &self.nats, folder: self.folder.path(), settings: &self.settings };
        let mut gateway = place.service("gateway", &format!("gateway-{number}"), None);
        gateway.launch = gateway
            .launch
            .set("BACKCHAT_GATEWAY_AUTH_UPSTREAM", self.auth.address())
            .set("BACKCHAT_GATEWAY_NATS_URL", nats_url);
        gateway.start().await;
        self.gateways.push(gateway);
        number
    }

    /// Where people come in.
    pub fn address(&self, gateway: usize) -> String {
        self.gateways[gateway].address()
    }
}

/// What all services of one installation share.
struct Place<'a> {
    nats: &'a Nats,
    folder: &'a Path,
    settings: &'a [(String, String)],
}

impl Place<'_> {
    fn service(&self, program: &str, name: &str, database: Option<&str>) -> Service {
        let (public, operations) = (ports::free(), ports::free());
        let prefix = format!("BACKCHAT_{}", program.to_uppercase().replace('-', "_"));
        let mut launch = Launch::new(&built(program), self.folder)
            .named(name)
            .set(&format!("{prefix}_NATS_URL"), self.nats.url())
            .set(&format!("{prefix}_OPERATIONS"), format!("127.0.0.1:{operations}"));
        if program != "history-worker" {
            launch = launch.set(&format!("{prefix}_LISTEN"), format!("127.0.0.1:{public}"));
        }
        if let Some(database) = database {
            let path = self.folder.join(database);
            launch = launch
                .set(&format!("{prefix}_DATABASE"), format!("surrealkv://{}?sync=every", path.display()));
        }
        for (variable, value) in self.settings.iter().filter(|(variable, _)| variable.starts_with(&prefix)) {
            launch = launch.set(variable, value);
        }
        Service { launch, program: None, operations, public }
    }
}

async fn set_up(nats: &Nats, folder: &Path) {
    let launch = Launch::new(&built("backchat-setup"), folder).set("BACKCHAT_SETUP_NATS_URL", nats.url());
    let ended = launch.to_the_end(START).await;
    assert_eq!(ended.code, 0, "the set-up failed: {}", ended.output);
}

impl Service {
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

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.running().kill();
    }

    /// Asks it to stop and gives its exit code.
    pub async fn terminate(&mut self) -> i32 {
        self.running().terminate();
        self.running().ended(STOP).await
    }

    pub fn pause(&mut self) {
        self.running().pause();
    }

    pub fn resume(&mut self) {
        self.running().resume();
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
