//! What rooms cost that are open at several gateways while hardly anybody says anything: gateways repeat who is present, say that
//! they live, and compare their rooms with the log.

use super::{Figures, ROOM_MEMBERS, assemble, broken};
use crate::{
    load::{Crew, Speech},
    machine::rss_kib,
    server::{Fleet, Seating, Server, Shape, Sync},
};
use std::time::Duration;

const ROOMS: usize = 800;
/// Each socket is pinged twice meanwhile; a gateway repeats every 20 s which list of a room's people is its last.
const HELD: Duration = Duration::from_secs(30);
/// What the coming told the gateways is over.
const SETTLE: Duration = Duration::from_secs(8);

/// Gateways, and the names of: their CPU and the broker's in percent of a core, their memory and the broker's for each open room, KiB.
const RUNS: [(usize, [&str; 4]); 3] = [
    (1, ["one_cpu_percent", "one_broker_cpu_percent", "one_rss_kib", "one_broker_rss_kib"]),
    (2, ["two_cpu_percent", "two_broker_cpu_percent", "two_rss_kib", "two_broker_rss_kib"]),
    (4, ["four_cpu_percent", "four_broker_cpu_percent", "four_rss_kib", "four_broker_rss_kib"]),
];

pub fn run() -> Result<Figures, String> {
    let mut figures = Figures::new();
    for (gateways, names) in RUNS {
        let shape = Shape { rooms: ROOMS, members: ROOM_MEMBERS, returning: false };
        let server = Server::fleet(shape, Sync::Default, Fleet { gateways, seating: Seating::Spread })?;
        let memory = |of_gateways: bool| -> f64 {
            let processes =
                server.processes.iter().filter(|(name, _)| name.starts_with("server") == of_gateways);
            processes.map(|(_, id)| rss_kib(*id)).sum()
        };
        let before = [memory(true), memory(false)];
        let mut crew = Crew::new(&server).map_err(broken)?;
        assemble(&mut crew)?;
        crew.hold(SETTLE).map_err(broken)?;
        // A room is open at each gateway with a member of it.
        let open = (ROOMS * gateways) as f64;
        let grown = [(memory(true) - before[0]) / open, (memory(false) - before[1]) / open];
        // One message a second in one of all rooms: with none at all, nothing would be compared with the log.
        let speech = Speech {
            publishers: 1,
            rate: 1.0 / ROOMS as f64,
            warm: Duration::ZERO,
            measured: HELD,
            drain: Duration::from_secs(1),
        };
        let talked = crew.talk(&speech).map_err(broken)?;
        let percent = |cpu_s: f64| cpu_s / talked.usage.wall_s * 100.0;
        let cpu = [percent(talked.usage.of_servers()), percent(talked.usage.of("broker"))];
        figures.extend(names.into_iter().zip([cpu[0], cpu[1], grown[0], grown[1]]));
        figures.insert("others_cores", talked.usage.others_cores());
    }
    Ok(figures)
}
