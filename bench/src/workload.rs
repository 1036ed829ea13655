//! The workloads: what each does in one run against one server, and which figures come of it.

mod ack;
mod company;
mod gateways;
mod neighbour;
mod rings;
mod saturation;
mod shards;
mod traces;

use crate::{
    load::{Connected, Crew, Speech, Talked},
    machine::{Reading, Usage, open_files_max, rss_kib},
    server::{Server, Shape, Sync},
};
use std::{collections::BTreeMap, io, time::Duration};

/// Figures of one run by name; the unit is the name's end.
pub type Figures = BTreeMap<&'static str, f64>;

/// The figures that tell of deliveries as none may be.
pub const WRONG: [&str; 4] = ["lost", "duplicated", "reordered", "misrouted"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    Fanout20,
    Fanout100,
    Rooms,
    RoomsUnsynced,
    Saturation,
    Idle,
    Storm,
    StormReturning,
    Ack,
    Gateways,
    Neighbour,
    Company,
    Shards,
    Rings,
    RoomsSaturation,
    Traces,
}

/// What a run is against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Ceiling,
    Gateway,
}

/// Members of the one room of a fan-out.
const FANOUT_MEMBERS: usize = 1_000;
const SETUP_MAX: Duration = Duration::from_secs(60);
const CONCURRENCY: usize = 100;
/// Sockets held in the idle workload, in rooms of [`ROOM_MEMBERS`].
const IDLE_SOCKETS: usize = 10_000;
/// Files that server and load generator need beside sockets.
const OTHER_FILES: usize = 200;
const ROOM_MEMBERS: usize = 10;
const IDLE_SETTLE: Duration = Duration::from_secs(3);
/// Silence: the first of the gateway's pings are still to come, when the connecting was quick.
const IDLE_QUIET: Duration = Duration::from_secs(3);
/// A whole period of the gateway's pings, so that each socket is asked for a sign of life once.
const IDLE_PINGED: Duration = Duration::from_secs(15);
const STORM_SOCKETS: usize = 3_000;

impl Workload {
    pub const ALL: [Self; 16] = [
        Self::Fanout20,
        Self::Fanout100,
        Self::Rooms,
        Self::RoomsUnsynced,
        Self::Saturation,
        Self::Idle,
        Self::Storm,
        Self::StormReturning,
        Self::Ack,
        Self::Gateways,
        Self::Neighbour,
        Self::Company,
        Self::Shards,
        Self::Rings,
        Self::RoomsSaturation,
        Self::Traces,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Fanout20 => "fanout20",
            Self::Fanout100 => "fanout100",
            Self::Rooms => "rooms",
            Self::RoomsUnsynced => "rooms-unsynced",
            Self::Saturation => "saturation",
            Self::Idle => "idle",
            Self::Storm => "storm",
            Self::StormReturning => "storm-returning",
            Self::Ack => "ack",
            Self::Gateways => "gateways",
            Self::Neighbour => "neighbour",
            Self::Company => "company",
            Self::Shards => "shards",
            Self::Rings => "rings",
            Self::RoomsSaturation => "rooms-saturation",
            Self::Traces => "traces",
        }
    }

    /// What it runs against: acknowledgements are measured against the bare broker, in one run, and several gateways against one.
    pub const fn targets(self) -> &'static [Target] {
        match self {
            Self::Fanout20
            | Self::Fanout100
            | Self::Rooms
            | Self::RoomsUnsynced
            | Self::Saturation
            | Self::Idle
            | Self::Storm
            | Self::StormReturning => &[Target::Ceiling, Target::Gateway],
            _ => &[Target::Gateway],
        }
    }

    /// Does it once.
    ///
    /// # Errors
    /// One line, when a server does not start or the load can't be made. What a server does wrong under load is in the figures.
    pub fn run(self, target: Target) -> Result<Figures, String> {
        let fanout = Shape { rooms: 1, members: FANOUT_MEMBERS, returning: false };
        let rooms = Shape { rooms: 200, members: ROOM_MEMBERS, returning: false };
        let storm = Shape { rooms: STORM_SOCKETS / ROOM_MEMBERS, members: ROOM_MEMBERS, returning: false };
        match self {
            Self::Fanout20 => talk(&target.start(fanout, Sync::Always)?, &speech(20.0)),
            Self::Fanout100 => talk(&target.start(fanout, Sync::Always)?, &speech(100.0)),
            Self::Rooms => talk(&target.start(rooms, Sync::Always)?, &speech(5.0)),
            Self::RoomsUnsynced => talk(&target.start(rooms, Sync::Default)?, &speech(5.0)),
            Self::Saturation => saturation::search(target, saturation::ONE_ROOM),
            Self::RoomsSaturation => saturation::search(target, saturation::SMALL_ROOMS),
            Self::Idle => idle(target),
            Self::Storm => self::storm(&target.start(storm, Sync::Always)?),
            Self::StormReturning => {
                self::storm(&target.start(Shape { returning: true, ..storm }, Sync::Always)?)
            }
            Self::Ack => ack::run(),
            Self::Gateways => gateways::run(),
            Self::Neighbour => neighbour::run(),
            Self::Company => company::run(),
            Self::Shards => shards::run(),
            Self::Rings => rings::run(),
            Self::Traces => traces::run(),
        }
    }
}

impl Target {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Gateway => "backchat",
        }
    }

    fn start(self, shape: Shape, sync: Sync) -> Result<Server, String> {
        match self {
            Self::Ceiling => Server::ceiling(shape),
            Self::Gateway => Server::gateway(shape, sync),
        }
    }
}

/// The warm-up lasts until each publisher has spoken: a gateway fetches the keys of whoever speaks for the first time.
fn speech(rate: f64) -> Speech {
    let publishers = 10;
    Speech {
        publishers,
        rate,
        warm: Duration::from_secs_f64((publishers as f64 / rate).max(1.0)),
        measured: Duration::from_secs(5),
        drain: Duration::from_secs(5),
    }
}

/// Brings everybody in; whoever is left outside makes the run void.
fn assemble(crew: &mut Crew<'_>) -> Result<Connected, String> {
    assemble_upto(crew, crew.members())
}

/// Brings everybody in up to the member of this number.
fn assemble_upto(crew: &mut Crew<'_>, members: usize) -> Result<Connected, String> {
    let connected = crew.connect(members, CONCURRENCY, SETUP_MAX).map_err(|error| error.to_string())?;
    if connected.joined == members {
        return Ok(connected);
    }
    let trouble = crew.trouble.as_deref().unwrap_or("they have not joined in time");
    Err(format!("only {} of {members} members joined: {trouble}", connected.joined))
}

fn talk(server: &Server, speech: &Speech) -> Result<Figures, String> {
    let mut crew = Crew::new(server).map_err(broken)?;
    assemble(&mut crew)?;
    let talked = crew.talk(speech).map_err(broken)?;
    Ok(talk_figures(&mut crew, speech, &talked))
}

fn talk_figures(crew: &mut Crew<'_>, speech: &Speech, talked: &Talked) -> Figures {
    let tally = &mut crew.tally;
    let per_delivery = |cpu_s: f64| cpu_s * 1e6 / tally.arrived.max(1) as f64;
    let (server, broker) = (talked.usage.of_servers(), talked.usage.of("broker"));
    let deliveries_per_s = tally.arrived_in_window as f64 / speech.measured.as_secs_f64();
    let bytes_per_delivery = tally.bytes as f64 / tally.arrived.max(1) as f64;
    let mut figures = Figures::from([
        ("cpu_us_per_delivery", per_delivery(server)),
        ("broker_cpu_us_per_delivery", per_delivery(broker)),
        ("all_cpu_us_per_delivery", per_delivery(server + broker)),
        ("load_cpu_us_per_delivery", per_delivery(talked.usage.own)),
        ("deliveries_per_s", deliveries_per_s),
        ("bytes_per_delivery", bytes_per_delivery),
        ("sent_mb_per_s", deliveries_per_s * bytes_per_delivery / 1e6),
        ("lost", talked.expected as f64 - tally.received as f64),
        ("duplicated", tally.duplicated as f64),
        ("reordered", tally.reordered as f64),
        ("misrouted", tally.misrouted as f64),
        ("late_ms", talked.late_ms),
        ("load_share", talked.usage.own_share()),
        ("others_cores", talked.usage.others_cores()),
    ]);
    let [p50, p99, max] = tally.latencies_ms([0.5, 0.99, 1.0]);
    figures.extend([("p50_ms", p50), ("p99_ms", p99), ("max_ms", max)]);
    figures.extend([
        ("published", talked.published as f64),
        ("refused", crew.refused as f64),
        ("disconnected", crew.disconnected as f64),
    ]);
    figures
}

/// Adds to the figures of several talks what went wrong in one of them, and what disturbed it if that was the worst.
fn add_faults(figures: &mut Figures, talk: &Figures) {
    for name in WRONG {
        *figures.entry(name).or_default() += talk[name].abs();
    }
    for name in ["load_share", "others_cores"] {
        let worst = figures.entry(name).or_default();
        *worst = worst.max(talk[name]);
    }
}

fn idle(target: Target) -> Result<Figures, String> {
    let sockets = IDLE_SOCKETS.min(open_files_max().saturating_sub(OTHER_FILES));
    let shape = Shape { rooms: sockets / ROOM_MEMBERS, members: ROOM_MEMBERS, returning: false };
    let server = target.start(shape, Sync::Always)?;
    let process = server.processes["server"];
    let before_kib = rss_kib(process);
    let mut crew = Crew::new(&server).map_err(broken)?;
    let connected = assemble(&mut crew)?;
    crew.hold(IDLE_SETTLE).map_err(broken)?;
    let grown_kib = rss_kib(process) - before_kib;
    let quiet = held(&mut crew, IDLE_QUIET)?;
    let pinged = held(&mut crew, IDLE_PINGED)?;
    let percent = |usage: &Usage, process| usage.of(process) / usage.wall_s * 100.0;
    Ok(Figures::from([
        ("sockets", connected.joined as f64),
        ("connect_s", connected.took_s),
        ("rss_kib_per_socket", grown_kib / connected.joined as f64),
        ("quiet_cpu_percent", percent(&quiet, "server")),
        ("cpu_percent", percent(&pinged, "server")),
        ("broker_cpu_percent", percent(&pinged, "broker")),
        ("disconnected", crew.disconnected as f64),
        ("others_cores", pinged.others_cores()),
    ]))
}

/// What is used while nobody says anything.
fn held(crew: &mut Crew<'_>, time: Duration) -> Result<Usage, String> {
    let processes = crew.server().processes.clone();
    let before = Reading::take(&processes);
    crew.hold(time).map_err(broken)?;
    Ok(Reading::take(&processes).since(&before))
}

fn storm(server: &Server) -> Result<Figures, String> {
    let mut crew = Crew::new(server).map_err(broken)?;
    let before = Reading::take(&server.processes);
    let connected = assemble(&mut crew)?;
    let usage = Reading::take(&server.processes).since(&before);
    let per_handshake = |cpu_s: f64| cpu_s * 1e6 / connected.joined as f64;
    Ok(Figures::from([
        ("handshakes_per_s", connected.joined as f64 / connected.took_s),
        ("cpu_us_per_handshake", per_handshake(usage.of("server"))),
        ("broker_cpu_us_per_handshake", per_handshake(usage.of("broker"))),
        ("load_cpu_us_per_handshake", per_handshake(usage.own)),
        ("others_cores", usage.others_cores()),
    ]))
}

fn broken(error: io::Error) -> String {
    format!("the load generator failed: {error}")
}
