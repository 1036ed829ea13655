//! What is measured: real processes, started for one run and ended after it.

mod brokers;
mod installation;
mod program;

use crate::{
    load::Dialect,
    machine::{Processes, favour},
};
use brokers::start_broker;
pub use brokers::{BROKERS, Kept, Sync};
pub use installation::connect_to_broker;
use program::{Program, built, free_port};
use sealing::{Root, Roots};
use std::{net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);
/// What gateways are called in figures.
pub const GATEWAYS: [&str; 4] = ["server", "server2", "server3", "server4"];

/// Settings by their names.
pub type Settings<'a> = &'a [(&'a str, &'a str)];

/// Who is in which room.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub rooms: usize,
    /// Members of each room, every one a person of their own.
    pub members: usize,
    /// They come with the cursor of the room's last event, as a page does that comes back; else, as a program that is new, without.
    pub returning: bool,
}

/// How many gateways there are, and at which of them members come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    pub gateways: usize,
    pub seating: Seating,
}

/// Who comes in where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seating {
    /// All members of a room at one gateway, the next room's at the next.
    Together,
    /// One after the other, as a balancer sends them: each room has members at every gateway.
    Spread,
    /// So many of each room at the first gateway, the others at the second.
    Beside(usize),
}

/// A person in a room.
#[derive(Debug, Clone)]
pub struct Member {
    pub room: usize,
    /// The server at which they come in, by its place among the server's doors.
    pub door: usize,
    /// The request path of their socket.
    pub path: String,
    /// What they show at the door; nothing at the ceiling server.
    pub token: Option<String>,
}

/// A server that runs, with everybody who may come in. Dropping it ends it and removes what it stored.
pub struct Server {
    /// Where members come in.
    pub doors: Vec<SocketAddr>,
    pub dialect: Dialect,
    pub processes: Processes,
    pub members: Vec<Member>,
    /// The broker's address, or those of its servers with commas between them.
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
        let members =
            people(shape).map(|room| Member { room, door: 0, path: format!("/r{room}"), token: None });
        Ok(Self {
            doors: vec![address],
            dialect: Dialect::Ceiling,
            processes: processes(&GATEWAYS[..1], std::slice::from_ref(&program)),
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
        Self::fleet(shape, sync, Fleet::ALONE)
    }

    /// The same with several gateways.
    ///
    /// # Errors
    /// One line for the person at the terminal.
    pub fn fleet(shape: Shape, sync: Sync, fleet: Fleet) -> Result<Self, String> {
        Self::fleet_with(shape, sync, fleet, &[])
    }

    /// The same with settings of each gateway.
    ///
    /// # Errors
    /// One line for the person at the terminal.
    pub fn fleet_with(shape: Shape, sync: Sync, fleet: Fleet, settings: Settings) -> Result<Self, String> {
        let folder = folder()?;
        let port = free_port()?;
        let url = format!("nats://{}", local(port));
        // What is made before the run need not survive a power cut: many thousand waits for the disk are spared.
        let mut nats = brokers::start_one(folder.path(), port, Sync::Default)?;
        Program::of(&built("backchat-setup")?).set("BACKCHAT_SETUP_NATS_URL", &url).run(folder.path())?;
        let (roots, roots_folder) = make_roots(folder.path())?;
        let mut members = installation::install(&url, shape, &roots)?;
        for (number, member) in members.iter_mut().enumerate() {
            member.door = fleet.door(member.room, number % shape.members);
        }
        if sync != Sync::Default {
            nats.stop(START)?;
            nats = brokers::start_one(folder.path(), port, sync)?;
        }
        let mut doors = Vec::new();
        let mut programs = Vec::new();
        for name in &GATEWAYS[..fleet.gateways] {
            let (door, gateway) = start_gateway(folder.path(), name, (&url, &roots_folder), settings)?;
            doors.push(door);
            programs.push(gateway);
        }
        programs.push(nats);
        let names = GATEWAYS[..fleet.gateways].iter().chain(&BROKERS[..1]);
        Ok(Self {
            doors,
            dialect: Dialect::Backchat,
            processes: processes(names, &programs),
            members,
            nats: Some(url),
            _programs: programs,
            _folder: folder,
        })
    }

    /// Starts a broker with so many shards, and nothing else.
    ///
    /// # Errors
    /// One line for the person at the terminal.
    pub fn broker(shards: u16, kept: Kept) -> Result<Self, String> {
        let folder = folder()?;
        let (url, programs) = start_broker(folder.path(), kept)?;
        Program::of(&built("backchat-setup")?)
            .set("BACKCHAT_SETUP_NATS_URL", &url)
            .set("BACKCHAT_SETUP_SHARDS", &shards.to_string())
            .set("BACKCHAT_SETUP_REPLICAS", &kept.copies.to_string())
            .run(folder.path())?;
        Ok(Self {
            doors: Vec::new(),
            dialect: Dialect::Backchat,
            processes: processes(&BROKERS, &programs),
            members: Vec::new(),
            nats: Some(url),
            _programs: programs,
            _folder: folder,
        })
    }
}

impl Server {
    /// Where a member comes in.
    pub fn door(&self, member: usize) -> SocketAddr {
        self.doors[self.members[member].door]
    }
}

impl Fleet {
    pub const ALONE: Self = Self { gateways: 1, seating: Seating::Together };

    /// The gateway at which a member comes in, by their place in the room.
    const fn door(self, room: usize, place: usize) -> usize {
        match self.seating {
            Seating::Together => room % self.gateways,
            // Not all rooms begin at the same gateway.
            Seating::Spread => (room + place) % self.gateways,
            Seating::Beside(first) => (place >= first) as usize,
        }
    }
}

/// Starts a gateway, and gives the address of its sockets.
fn start_gateway(
    folder: &Path,
    name: &str,
    (nats, roots): (&str, &str),
    settings: Settings,
) -> Result<(SocketAddr, Program), String> {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (port, operations) = (free_port()?, free_port()?);
    let mut gateway = Program::of(&built("gateway")?);
    for (setting, value) in settings {
        gateway.set(setting, value);
    }
    let mut gateway = gateway
        .set("BACKCHAT_GATEWAY_LISTEN", &local(port).to_string())
        .set("BACKCHAT_GATEWAY_OPERATIONS", &local(operations).to_string())
        .set("BACKCHAT_GATEWAY_NATS_URL", nats)
        .set("BACKCHAT_GATEWAY_ROOTS", roots)
        // All members come from one address, and a publisher stands for many people.
        .set("BACKCHAT_GATEWAY_HTTP_CONNECTIONS_MAX", "100000")
        .set("BACKCHAT_GATEWAY_HTTP_CONNECTIONS_PER_ADDRESS_MAX", "100000")
        .set("BACKCHAT_GATEWAY_SOCKETS_PER_ADDRESS", "100000")
        .set("BACKCHAT_GATEWAY_SOCKETS_PER_USER", "100000")
        .set("BACKCHAT_GATEWAY_SOCKETS_MAX", "100000")
        .set("BACKCHAT_GATEWAY_MESSAGE_BURST", "10000")
        .set("BACKCHAT_GATEWAY_MESSAGES_PER_SECOND", "10000")
        .start(&folder)?;
    gateway.until(START, || program::says_yes(local(operations), "/readyz"))?;
    Ok((local(port), gateway))
}

/// A root key of the run's own, and its folder.
fn make_roots(folder: &Path) -> Result<(Roots, String), String> {
    let folder = folder.join("roots");
    let root = Root::random(1).map_err(|error| error.to_string())?;
    sealing::store(&folder, &root).map_err(|fault| fault.to_string())?;
    let roots = Roots::of(vec![root]).ok_or("one root key is one")?;
    Ok((roots, folder.to_string_lossy().into_owned()))
}

/// The processes that a run measures, put before everything else on the machine where we may.
fn processes<'a>(names: impl IntoIterator<Item = &'a &'static str>, programs: &[Program]) -> Processes {
    for program in programs {
        favour(&program.id().to_string());
    }
    names.into_iter().copied().zip(programs.iter().map(Program::id)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_where_they_are_seated() {
        let doors = |seating, room| {
            let fleet = Fleet { gateways: 4, seating };
            [0, 1, 2, 3, 4].map(|place| fleet.door(room, place))
        };
        assert_eq!(doors(Seating::Together, 6), [2; 5]);
        assert_eq!(doors(Seating::Spread, 6), [2, 3, 0, 1, 2]);
        assert_eq!(doors(Seating::Beside(3), 0), [0, 0, 0, 1, 1]);
    }
}
