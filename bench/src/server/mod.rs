//! What is measured: real processes, started for one run and ended after it.

mod installation;
mod program;

use crate::{
    load::Dialect,
    machine::{Processes, favour},
};
pub use installation::connect_to_broker;
use program::{Program, built, free_port, nats_server};
use sealing::{Root, Roots};
use std::{net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

/// Who is in which room.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub rooms: usize,
    /// Members of each room, every one a person of their own.
    pub members: usize,
    /// They come with the cursor of the room's last event, as a page does that comes back; else, as a program that is new, without.
    pub returning: bool,
}

/// Whether the broker waits for the disk before it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// For each message: what backchat uses on a single node.
    Always,
    /// Every two minutes, the broker's own default.
    Default,
}

/// A person in a room.
#[derive(Debug, Clone)]
pub struct Member {
    pub room: usize,
    /// The request path of their socket.
    pub path: String,
    /// What they show at the door; nothing at the ceiling server.
    pub token: Option<String>,
}

/// A server that runs, with everybody who may come in. Dropping it ends it and removes what it stored.
pub struct Server {
    pub address: SocketAddr,
    pub dialect: Dialect,
    pub processes: Processes,
    pub members: Vec<Member>,
    /// The broker's address.
    pub nats: Option<String>,
    _programs: Vec<Program>,
    _folder: TempDir,
}

impl Server {
    /// Starts the ceiling server.
    ///
    /// # Errors
    /// One line for the person at the terminal.
    pub fn ceiling(shape: Shape) -> Result<Self, String> {
        let folder = folder()?;
        let port = free_port()?;
        let mut program = Program::of(&built("ceiling")?);
        let mut program = program.argument(&port.to_string()).start(folder.path())?;
        let address = local(port);
        program.until(START, || connects(address))?;
        let members = people(shape).map(|room| Member { room, path: format!("/r{room}"), token: None });
        Ok(Self {
            address,
            dialect: Dialect::Ceiling,
            processes: processes(&[("server", &program)]),
            members: members.collect(),
            nats: None,
            _programs: vec![program],
            _folder: folder,
        })
    }

    /// Starts a broker, makes rooms and members in it, and starts a gateway on it.
    ///
    /// # Errors
    /// One line for the person at the terminal.
    pub fn gateway(shape: Shape, sync: Sync) -> Result<Self, String> {
        let folder = folder()?;
        let port = free_port()?;
        let url = format!("nats://{}", local(port));
        // What is made before the run need not survive a power cut: many thousand waits for the disk are spared.
        let mut nats = start_nats(folder.path(), port, Sync::Default)?;
        Program::of(&built("backchat-setup")?).set("BACKCHAT_SETUP_NATS_URL", &url).run(folder.path())?;
        let (roots, roots_folder) = make_roots(folder.path())?;
        let members = installation::install(&url, shape, &roots)?;
        if sync != Sync::Default {
            nats.stop(START)?;
            nats = start_nats(folder.path(), port, sync)?;
        }
        let (port, operations) = (free_port()?, free_port()?);
        let mut gateway = Program::of(&built("gateway")?)
            .set("BACKCHAT_GATEWAY_LISTEN", &local(port).to_string())
            .set("BACKCHAT_GATEWAY_OPERATIONS", &local(operations).to_string())
            .set("BACKCHAT_GATEWAY_NATS_URL", &url)
            .set("BACKCHAT_GATEWAY_ROOTS", &roots_folder)
            // All members come from one address, and a publisher stands for many people.
            .set("BACKCHAT_GATEWAY_HTTP_CONNECTIONS_MAX", "100000")
            .set("BACKCHAT_GATEWAY_HTTP_CONNECTIONS_PER_ADDRESS_MAX", "100000")
            .set("BACKCHAT_GATEWAY_SOCKETS_PER_ADDRESS", "100000")
            .set("BACKCHAT_GATEWAY_SOCKETS_PER_USER", "100000")
            .set("BACKCHAT_GATEWAY_SOCKETS_MAX", "100000")
            .set("BACKCHAT_GATEWAY_MESSAGE_BURST", "10000")
            .set("BACKCHAT_GATEWAY_MESSAGES_PER_SECOND", "10000")
            .start(folder.path())?;
        gateway.until(START, || program::is_ready(local(operations)))?;
        Ok(Self {
            address: local(port),
            dialect: Dialect::Backchat,
            processes: processes(&[("server", &gateway), ("broker", &nats)]),
            members,
            nats: Some(url),
            _programs: vec![gateway, nats],
            _folder: folder,
        })
    }
}

/// A root key of the run's own, and its folder.
fn make_roots(folder: &Path) -> Result<(Roots, String), String> {
    let folder = folder.join("roots");
    let root = Root::random(1).map_err(|error| error.to_string())?;
    sealing::store(&folder, &root).map_err(|fault| fault.to_string())?;
    let roots = Roots::of(vec![root]).ok_or("one root key is one")?;
    Ok((roots, folder.to_string_lossy().into_owned()))
}

fn start_nats(folder: &Path, port: u16, sync: Sync) -> Result<Program, String> {
    let sync = match sync {
        Sync::Always => ", sync_interval: always",
        Sync::Default => "",
    };
    let conf = format!(
        "listen: \"{}\"\nmax_payload: 1MB\njetstream {{ store_dir: {:?}{sync} }}\n",
        local(port),
        folder.join("store")
    );
    let path = folder.join("nats.conf");
    std::fs::write(&path, conf).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut program = Program::of(&nats_server()?);
    let mut program = program.argument("-c").argument(&path.to_string_lossy()).start(folder)?;
    program.until(START, || connects(local(port)))?;
    Ok(program)
}

/// The processes that a run measures, put before everything else on the machine where we may.
fn processes(programs: &[(&'static str, &Program)]) -> Processes {
    for (_, program) in programs {
        favour(&program.id().to_string());
    }
    programs.iter().map(|(name, program)| (*name, program.id())).collect()
}

/// The room of each member.
fn people(shape: Shape) -> impl Iterator<Item = usize> {
    (0..shape.rooms).flat_map(move |room| std::iter::repeat_n(room, shape.members))
}

fn folder() -> Result<TempDir, String> {
    tempfile::tempdir().map_err(|error| format!("there is no room for a folder: {error}"))
}

fn local(port: u16) -> SocketAddr {
    (std::net::Ipv4Addr::LOCALHOST, port).into()
}

fn connects(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}
