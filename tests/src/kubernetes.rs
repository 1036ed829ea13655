//! The chart on a real Kubernetes, from its installation to its end: upgraded, rolled back, scaled, drained and hurt while people
//! talk. Afterwards what was acknowledged, what is stored, and what every member saw are compared.
//!
//! It runs beside a node, where services have names and pods can be reached; `deploy/kubernetes/verify` sees to that.

mod hurt;
mod release;

pub use release::Clients;

use crate::eventually::eventually;
use crate::faults::Size;
use crate::faults::crowd::Crowd;
use crate::faults::verdict::{Outcome, sockets_become};
use crate::http::Ask;
use crate::keys;
use crate::metrics;
use crate::nats;
use crate::random::Random;
use crate::topology::authority::Authority;
use crate::topology::edge::Edge;
use crate::topology::{Piece, Role};
use crate::wire;
use broker::{Broker, Credentials, SETUP};
use hurt::Hurt;
use release::Release;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Two hundred and ten sockets in five rooms: the machine has a whole cluster to run besides.
const CROWD: Size = Size { rooms: 5, people_in_room: 14, per_second: 6 };
/// Where people come in, as the values of the release say to browsers.
const LISTEN: &str = "127.0.0.1:8443";
/// Longest wait, after the last thing, until everybody has seen everything.
const SETTLE: Duration = Duration::from_secs(180);
/// Longest wait until the load balancer is ready.
const START: Duration = Duration::from_secs(60);

/// What is verified, and with what.
pub struct Plan {
    pub clients: Clients,
    pub chart: PathBuf,
    /// Values of the release.
    pub values: PathBuf,
    /// A folder of values files: the API server is asked about every object that comes of them.
    pub cases: PathBuf,
    /// The tag of the images that the release is upgraded to.
    pub next: String,
    /// An empty folder, for what is made on the way.
    pub folder: PathBuf,
}

/// Runs it; `say` gets a line for each step.
///
/// # Panics
/// When a step fails.
pub async fn run(plan: Plan, mut say: impl FnMut(String)) -> Outcome {
    let began = Instant::now();
    let Plan { clients, chart, values, cases, next, folder } = plan;
    let release = Release::new(clients, chart, values, folder.clone());
    refuse_nothing(&release, &cases, &mut say).await;
    let took = release.install().await;
    Release::downgrades().into_iter().for_each(&mut say);
    say(format!("installed: everything is ready after {took} s"));
    say(format!("tested: {}", release.test().await));

    let edge = EdgeOfCluster::opens(&release, &folder).await;
    keys::given(&roots(&release, &folder).await);
    let mut random = Random::seeded(Random::any_seed());
    let mut crowd = Crowd::comes(std::slice::from_ref(&edge.address), CROWD, &mut random).await;
    let (members, restarts) = (crowd.members().count(), release.restarts().await);
    say(format!("{members} sockets in {} rooms come in at {}", CROWD.rooms, edge.address));
    let is_over = AtomicBool::new(false);
    let hurting = async {
        let hurt = hurt::everything(&release, &next, members, &mut say).await;
        is_over.store(true, Ordering::Relaxed);
        hurt
    };
    let talking = crowd.talks(CROWD, || is_over.load(Ordering::Relaxed), &mut random);
    let (Hurt { count, mut complaints }, said) = tokio::join!(hurting, talking);
    say(format!("{said} messages said; waiting until everybody has seen everything"));

    let broker = broker(&release, &folder).await;
    if let Some(missing) = crowd.settles(&broker, SETTLE).await {
        complaints.push(format!("{SETTLE:?} after the last step {missing}"));
    }
    let sockets = sockets_become(members as u64, || open_sockets(&release)).await;
    let mut outcome = Outcome {
        again: "make verify-kubernetes".to_owned(),
        logs: folder.clone(),
        faults: count,
        sockets: (members, sockets),
        restarts: release.restarts().await,
        ..Outcome::default()
    };
    // A pod that was replaced begins to count anew.
    if outcome.restarts > restarts {
        complaints.push(format!(
            "{} containers ended by themselves and were started again",
            outcome.restarts - restarts
        ));
    }
    outcome.look_at(&broker, &mut crowd).await;
    for what in ["verify", "replay", "verify"] {
        say(format!("the job {what} says: {}", release.job(what).await));
    }
    drop(edge);
    complaints.extend(uninstall(&release, &mut say).await);
    outcome.complaints.extend(complaints);
    outcome.took = began.elapsed();
    outcome
}

/// The API server takes every object of every case, without keeping it.
async fn refuse_nothing(release: &Release, cases: &Path, say: &mut impl FnMut(String)) {
    let mut files: Vec<_> = fs::read_dir(cases)
        .expect("the cases can be listed")
        .map(|entry| entry.expect("the cases can be listed").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    let mut objects = 0;
    for file in &files {
        objects += release.dry_run(file).await;
    }
    say(format!("the API server takes all {objects} objects of {} values files", files.len()));
}

/// Takes it away. Gives what stays and should not.
async fn uninstall(release: &Release, say: &mut impl FnMut(String)) -> Option<String> {
    let left = release.uninstall().await;
    let (kept, forgotten): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|name| release::stays_by_design(name));
    say(format!("uninstalled: by design there stay {}", kept.join(", ")));
    (!forgotten.is_empty()).then(|| format!("uninstalled, it leaves {}", forgotten.join(", ")))
}

/// A load balancer in front of the release's services, as a controller of routes would have it.
struct EdgeOfCluster {
    address: String,
    _piece: Piece,
}

impl EdgeOfCluster {
    async fn opens(release: &Release, folder: &Path) -> Self {
        let authority = Authority::made_in(folder);
        let mut edge = Edge::prepared(&authority, LISTEN, folder);
        let mut services = Vec::new();
        for role in [Role::Gateway, Role::Auth] {
            services.push((role, vec![format!("{}:8080", release.service_address(&role.to_string()).await)]));
        }
        edge.send_to_addresses(services);
        let mut piece = edge.piece();
        piece.start();
        eventually("the load balancer is ready", START, || async {
            let answer = Ask::get(piece.ready_path).try_send(&piece.operations).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
        let address = format!("https://{LISTEN}");
        wire::trust(&address, &authority.file());
        Self { address, _piece: piece }
    }
}

/// A connection to the release's broker of somebody who may do everything.
async fn broker(release: &Release, folder: &Path) -> Broker {
    let ca = folder.join("nats-ca.pem");
    fs::write(&ca, release.secret("nats-tls", "ca.crt").await).expect("a file can be written");
    let password = String::from_utf8(release.secret("nats-users", SETUP).await).expect("passwords are text");
    nats::connect(Credentials {
        user: Some(SETUP.to_owned()),
        password: Some(password),
        ca: Some(ca),
        ..Credentials::of_nobody(release.broker_url(), SETUP)
    })
    .await
}

/// A folder with the release's root key, which the chart has made.
async fn roots(release: &Release, folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let roots = folder.join("roots");
    fs::create_dir_all(&roots).expect("a folder can be made");
    let file = roots.join("root-1");
    fs::write(&file, release.secret("root-key", "root-1").await).expect("a file can be written");
    for (path, mode) in [(&file, 0o600), (&roots, 0o700)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
    }
    roots
}

async fn open_sockets(release: &Release) -> u64 {
    let mut sum = 0;
    for address in release.pod_addresses("gateway").await {
        sum += metrics::read(&format!("{address}:9080"), "backchat_gateway_sockets").await.unwrap_or(0);
    }
    sum
}
