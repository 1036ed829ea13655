//! What an installation of a size needs, reckoned from what was measured. Pure; `docs/operations/capacity.md` has its table.

use std::fmt::Write;

pub const USAGE: &str = "usage: bench capacity [connections=1000] [room=20] [messages-per-h=12] [comings-per-h=10] [sockets=10000] [shards=8] [together]";

/// Who is there, and what they do in the busiest minutes of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Traffic {
    /// Open sockets in all; a page that shows a room is one.
    pub connections: f64,
    /// Sockets in a room at the same time.
    pub room: f64,
    /// Messages of each connection in an hour.
    pub messages_per_h: f64,
    /// How often each connection comes anew in an hour: another room, a reload, a laptop that wakes.
    pub comings_per_h: f64,
    /// Sockets that one gateway is to have.
    pub sockets: f64,
    pub shards: f64,
    /// All of a room at one gateway: a balancer that sends the same path to the same gateway does that. Else each goes anywhere.
    pub together: bool,
}

/// Events of a room that a gateway keeps (`ring_events`), as the chart sets it.
pub const RING_EVENTS: f64 = 128.0;
/// Fewer gateways are no installation that survives one.
const GATEWAYS_MIN: f64 = 2.0;

/// Something that was measured ([BENCHMARKS.md](../../BENCHMARKS.md)).
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub name: &'static str,
    pub value: f64,
    pub says: &'static str,
    /// The workload that says so.
    pub by: &'static str,
}

const fn cost(name: &'static str, value: f64, says: &'static str, by: &'static str) -> Cost {
    Cost { name, value, says, by }
}

const SENT: Cost = cost(
    "sent",
    163.0,
    "CPU µs of a gateway for a message of a member: it is sealed, stored, acknowledged",
    "`gateways`, 20 rooms of 100",
);
const HEARD: Cost = cost(
    "heard",
    61.0,
    "CPU µs of a gateway for a message of an open room: it is opened and encoded",
    "`gateways`, 20 rooms of 100 at four to one",
);
const WRITTEN: Cost = cost(
    "written",
    6.3,
    "CPU µs of a gateway for a message written to one socket",
    "`gateways`, rooms of 1,000 to rooms of 100",
);
const CAME: Cost = cost("came", 170.0, "CPU µs of a gateway for a socket that comes", "`storm`");
const OPEN: Cost = cost(
    "open",
    9.2,
    "CPU µs of a gateway in a second for a room that is open there",
    "`company`, four gateways to one",
);
const SOCKET: Cost = cost("socket", 3.0, "memory of a gateway for a socket, KiB", "`company`");
const ROOM: Cost = cost("room", 27.0, "memory of a gateway for an open room, KiB", "`company`");
const EVENT: Cost = cost("event", 0.91, "memory of a gateway for an event that it keeps, KiB", "`rings`");
const STORED: Cost = cost("stored", 236.0, "CPU µs of the broker for a message that is stored", "`rooms`");
const HANDED: Cost = cost(
    "handed",
    14.0,
    "CPU µs of the broker for something small that it hands on",
    "`company`, four gateways to one",
);
const FRAGMENT: Cost =
    cost("fragment", 795.0, "bytes of a message of 128 bytes, as a page gets it", "a page's socket");
const HEARD_OF: Cost =
    cost("heard_of", 1.8, "memory of the broker for a room that is open at a gateway, KiB", "`company`");
const LOGGED: Cost = cost(
    "logged",
    420.0,
    "bytes of a message of 128 bytes in the log, on one server",
    "the size of its files",
);
const APPLIED: Cost = cost(
    "applied",
    3616.0,
    "events/s of a history worker and its database, 100,000 rooms",
    "`catch_up -- 2000000 100000 1 mixed`",
);

/// All of them, in the order of the page.
pub const COSTS: [Cost; 14] = [
    SENT, HEARD, WRITTEN, CAME, OPEN, SOCKET, ROOM, EVENT, STORED, HANDED, FRAGMENT, HEARD_OF, LOGGED,
    APPLIED,
];

/// How often gateways say or look at something, in seconds.
mod every {
    pub const PRESENCE_S: f64 = 20.0;
    pub const HEADS_S: f64 = 3.0;
    pub const BEAT_S: f64 = 2.0;
}

/// One line of the table: what it is, how it is reckoned, and what it is for some traffic.
struct Row {
    says: &'static str,
    reckoned: &'static str,
    of: fn(&Need) -> String,
}

const fn row(says: &'static str, reckoned: &'static str, of: fn(&Need) -> String) -> Row {
    Row { says, reckoned, of }
}

/// What the traffic needs. Rates are of a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Need {
    pub traffic: Traffic,
    pub gateways: f64,
    pub rooms: f64,
    /// Gateways that have a member of a room, on average.
    pub at: f64,
    /// Open rooms of all gateways: a room counts at each that has it.
    pub open: f64,
    pub messages: f64,
    pub deliveries: f64,
    pub comings: f64,
}

impl Traffic {
    /// Reads what comes after `capacity`; `None` when it can't be meant.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut traffic = USUAL;
        for argument in arguments {
            if argument == "together" {
                traffic.together = true;
                continue;
            }
            let (name, value) = argument.split_once('=')?;
            let field = match name {
                "connections" => &mut traffic.connections,
                "room" => &mut traffic.room,
                "messages-per-h" => &mut traffic.messages_per_h,
                "comings-per-h" => &mut traffic.comings_per_h,
                "sockets" => &mut traffic.sockets,
                "shards" => &mut traffic.shards,
                _ => return None,
            };
            *field = value.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0)?;
        }
        Some(traffic)
    }

    #[must_use]
    pub fn need(self) -> Need {
        let gateways = (self.connections / self.sockets).ceil().max(GATEWAYS_MIN);
        let rooms = self.connections / self.room;
        // Of so many members, each anywhere, that at least one is at a gateway.
        let spread = gateways * (1.0 - (1.0 - 1.0 / gateways).powf(self.room));
        let at = if self.together { 1.0 } else { spread };
        let messages = self.connections * self.messages_per_h / 3_600.0;
        Need {
            traffic: self,
            gateways,
            rooms,
            at,
            open: rooms * at,
            messages,
            deliveries: messages * self.room,
            comings: self.connections * self.comings_per_h / 3_600.0,
        }
    }
}

impl Need {
    /// CPU of all gateways, in cores.
    #[must_use]
    pub fn gateways_cores(&self) -> f64 {
        let talk = self.messages * (SENT.value + self.at * HEARD.value) + self.deliveries * WRITTEN.value;
        (talk + self.comings * CAME.value + self.open * OPEN.value) / 1e6
    }

    /// Memory of one gateway, in MiB, when each room's ring is full.
    #[must_use]
    pub fn gateway_mib(&self) -> f64 {
        let rooms = self.open / self.gateways * (ROOM.value + RING_EVENTS * EVENT.value);
        (rooms + self.traffic.connections / self.gateways * SOCKET.value) / 1_024.0
    }

    /// What each gateway sends, in MB.
    #[must_use]
    pub fn gateway_mb(&self) -> f64 {
        self.deliveries * FRAGMENT.value / self.gateways / 1e6
    }

    fn copies(&self) -> f64 {
        self.messages * self.at
    }

    /// Each gateway says of each open room which list of people is its last, to the others that have the room.
    fn presence(&self) -> f64 {
        self.open / every::PRESENCE_S * self.at
    }

    /// The newest entry of each open room.
    fn heads(&self) -> f64 {
        self.open / every::HEADS_S
    }

    /// Of each room with news, at most once a second, to each gateway at which somebody looks at a list of rooms.
    fn news(&self) -> f64 {
        self.messages.min(self.rooms) * self.gateways
    }

    fn beats(&self) -> f64 {
        self.gateways * self.gateways / every::BEAT_S
    }

    /// Whether anything was stored in a shard.
    fn looks(&self) -> f64 {
        self.gateways * self.traffic.shards / every::HEADS_S
    }

    fn handed(&self) -> f64 {
        self.copies() + self.presence() + self.heads() + self.news() + self.looks() + self.beats()
    }

    /// CPU of all NATS servers, in cores, each message stored once.
    #[must_use]
    pub fn broker_cores(&self) -> f64 {
        (self.messages * STORED.value + self.handed() * HANDED.value) / 1e6
    }
}

const ROWS: [Row; 28] = [
    row("*C* connections", "", |need| whole(need.traffic.connections)),
    row("*M* of them in a room", "", |need| whole(need.traffic.room)),
    row("*T* messages of each in an hour", "", |need| whole(need.traffic.messages_per_h)),
    row("*A* times each comes anew in an hour", "", |need| whole(need.traffic.comings_per_h)),
    row("*S* sockets of a gateway", "", |need| whole(need.traffic.sockets)),
    row("*K* events that a gateway keeps of a room", "", |_| whole(RING_EVENTS)),
    row("*D* shards", "", |need| whole(need.traffic.shards)),
    row("the members of a room", "", |need| {
        if need.traffic.together { "at one gateway" } else { "anywhere" }.to_owned()
    }),
    row("**G gateways**", "C / S, at least 2", |need| format!("**{}**", whole(need.gateways))),
    row("R rooms", "C / M", |need| whole(need.rooms)),
    row("g gateways with a member of a room", "G × (1 − (1 − 1/G)^M), or 1", |need| number(need.at)),
    row("P rooms open at a gateway, all counted", "R × g", |need| whole(need.open)),
    row("m messages/s", "C × T / 3,600", |need| number(need.messages)),
    row("d deliveries/s", "m × M", |need| number(need.deliveries)),
    row(
        "**CPU of a gateway**, cores",
        "(m × (sent + g × heard) + d × written + C × A / 3,600 × came + P × open) / G",
        |need| format!("**{}**", number(need.gateways_cores() / need.gateways)),
    ),
    row("**memory of a gateway**, MiB", "(P × (room + K × event) + C × socket) / G", |need| {
        format!("**{}**", whole(need.gateway_mib()))
    }),
    row("a gateway sends, MB/s", "d × fragment / G", |need| number(need.gateway_mb())),
    row("messages/s of a shard", "m / D", |need| number(need.messages / need.traffic.shards)),
    row("the broker hands on/s: messages", "m × g", |need| whole(need.copies())),
    row("who is present", "P / 20 × g", |need| whole(need.presence())),
    row("heads compared", "P / 3", |need| whole(need.heads())),
    row("news for lists of rooms", "min(m, R) × G", |need| whole(need.news())),
    row("shards looked at", "G × D / 3", |need| whole(need.looks())),
    row("signs of life", "G² / 2", |need| whole(need.beats())),
    row("**CPU of the broker**, cores", "m × stored + the six above × handed", |need| {
        format!("**{}**", number(need.broker_cores()))
    }),
    row("what they listen to, MiB of the broker", "P × heard_of", |need| {
        whole(need.open * HEARD_OF.value / 1_024.0)
    }),
    row("history workers that are never idle", "m / applied", |need| number(need.messages / APPLIED.value)),
    row("log of a day with 8 such hours, GB", "8 × 3,600 × m × logged", |need| {
        number(8.0 * 3_600.0 * need.messages * LOGGED.value / 1e9)
    }),
];

/// What the page reckons with: a company, a town, a country by usual settings, and the same country by the settings that it needs.
pub const PAGE: [Traffic; 5] = [
    Traffic { connections: 1e3, sockets: 10e3, shards: 8.0, ..USUAL },
    Traffic { connections: 1e5, sockets: 10e3, shards: 8.0, ..USUAL },
    Traffic { connections: 1e6, sockets: 10e3, shards: 32.0, ..USUAL },
    Traffic { connections: 1e7, sockets: 10e3, shards: 256.0, ..USUAL },
    Traffic { connections: 1e7, sockets: 50e3, shards: 256.0, together: true, ..USUAL },
];

/// What people do.
pub const USUAL: Traffic = Traffic {
    connections: 1e3,
    room: 20.0,
    messages_per_h: 12.0,
    comings_per_h: 10.0,
    sockets: 10e3,
    shards: 8.0,
    together: false,
};

/// What was measured, as Markdown.
#[must_use]
pub fn costs() -> String {
    let mut table = "| name | value | is | measured by |\n|---|---|---|---|\n".to_owned();
    for Cost { name, value, says, by } in COSTS {
        let _ = writeln!(table, "| {name} | {value} | {says} | {by} |");
    }
    table
}

/// What each needs, as Markdown.
#[must_use]
pub fn table(traffic: &[Traffic]) -> String {
    let needs: Vec<_> = traffic.iter().map(|traffic| traffic.need()).collect();
    let columns = " |".repeat(needs.len());
    let mut table = format!("| | reckoned |{columns}\n|---|---|{}\n", "---|".repeat(needs.len()));
    for Row { says, reckoned, of } in &ROWS {
        let values: String = needs.iter().map(|need| format!(" {} |", of(need))).collect();
        let _ = writeln!(table, "| {says} | {reckoned} |{values}");
    }
    table
}

/// With commas, and nothing behind the point.
fn whole(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut with_commas = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            with_commas.push(',');
        }
        with_commas.push(digit);
    }
    with_commas
}

/// Two digits that say something.
fn number(figure: f64) -> String {
    match figure {
        0.0 => "0".to_owned(),
        figure if figure >= 10.0 => whole(figure),
        figure if figure >= 1.0 => format!("{figure:.1}"),
        figure if figure >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_at_no_more_gateways_than_it_has_members() {
        let few = Traffic { connections: 40e3, ..USUAL }.need();
        assert!(few.gateways == 4.0 && few.at > 3.9 && few.at < 4.0);
        let many = Traffic { connections: 1e7, ..USUAL }.need();
        assert!(many.at > 19.0 && many.at < 20.0);
        assert_eq!(Traffic { together: true, ..many.traffic }.need().at, 1.0);
    }

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(whole(1_234_567.4), "1,234,567");
        assert_eq!(whole(999.0), "999");
        assert_eq!([0.0, 0.004, 0.25, 3.26, 1_500.0].map(number), ["0", "0.004", "0.25", "3.3", "1,500"]);
    }
}
