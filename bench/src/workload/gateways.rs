//! What a delivery costs when the same is said in the same rooms at one, two or four gateways.

use super::{Figures, ROOM_MEMBERS, add_faults, assemble, broken, talk_figures};
use crate::{
    load::{Crew, Speech},
    server::{Fleet, Seating, Server, Shape, Sync},
};
use std::time::Duration;

/// Rooms of one kind, and what is said in them.
struct Kind {
    /// At one gateway, if it grows with them; else in all.
    shape: Shape,
    grows: bool,
    seating: Seating,
    /// Messages a second in each room.
    rate: f64,
    /// Gateways, and the names of: their CPU per delivery, the same to that of one gateway, the broker's, the p99 of the latency.
    runs: &'static [(usize, [&'static str; 4])],
}

const PUBLISHERS: usize = 10;

/// 10,000 deliveries a second in each kind, however many gateways share them, 20,000 in the halls. Where rooms grow with the gateways,
/// 2,500 at each.
const KINDS: [Kind; 5] = [
    Kind {
        shape: Shape { rooms: 50, ..small_rooms() },
        grows: true,
        seating: Seating::Together,
        rate: 5.0,
        runs: &[
            (1, ["busy_1_us", "busy_1_ratio", "busy_1_broker_us", "busy_1_p99_ms"]),
            (2, ["busy_2_us", "busy_2_ratio", "busy_2_broker_us", "busy_2_p99_ms"]),
            (4, ["busy_4_us", "busy_4_ratio", "busy_4_broker_us", "busy_4_p99_ms"]),
        ],
    },
    Kind {
        shape: small_rooms(),
        grows: false,
        seating: Seating::Together,
        rate: 5.0,
        runs: &[
            (1, ["small_1_us", "small_1_ratio", "small_1_broker_us", "small_1_p99_ms"]),
            (2, ["together_2_us", "together_2_ratio", "together_2_broker_us", "together_2_p99_ms"]),
            (4, ["together_4_us", "together_4_ratio", "together_4_broker_us", "together_4_p99_ms"]),
        ],
    },
    Kind {
        shape: small_rooms(),
        grows: false,
        seating: Seating::Spread,
        rate: 5.0,
        runs: &[
            (2, ["spread_2_us", "spread_2_ratio", "spread_2_broker_us", "spread_2_p99_ms"]),
            (4, ["spread_4_us", "spread_4_ratio", "spread_4_broker_us", "spread_4_p99_ms"]),
        ],
    },
    Kind {
        shape: Shape { rooms: 20, members: 100, returning: false },
        grows: false,
        seating: Seating::Spread,
        rate: 5.0,
        runs: &[
            (1, ["hundred_1_us", "hundred_1_ratio", "hundred_1_broker_us", "hundred_1_p99_ms"]),
            (2, ["hundred_2_us", "hundred_2_ratio", "hundred_2_broker_us", "hundred_2_p99_ms"]),
            (4, ["hundred_4_us", "hundred_4_ratio", "hundred_4_broker_us", "hundred_4_p99_ms"]),
        ],
    },
    Kind {
        shape: Shape { rooms: 2, members: 1_000, returning: false },
        grows: false,
        seating: Seating::Spread,
        rate: 10.0,
        runs: &[
            (1, ["hall_1_us", "hall_1_ratio", "hall_1_broker_us", "hall_1_p99_ms"]),
            (2, ["hall_2_us", "hall_2_ratio", "hall_2_broker_us", "hall_2_p99_ms"]),
            (4, ["hall_4_us", "hall_4_ratio", "hall_4_broker_us", "hall_4_p99_ms"]),
        ],
    },
];

const fn small_rooms() -> Shape {
    Shape { rooms: 200, members: ROOM_MEMBERS, returning: false }
}

pub fn run() -> Result<Figures, String> {
    let mut figures = Figures::new();
    let mut one_us = 0.0;
    for kind in &KINDS {
        for (gateways, names) in kind.runs {
            let run = talk(kind, *gateways)?;
            let us = run["cpu_us_per_delivery"];
            // Small rooms at one gateway are the same however they would be spread.
            if *gateways == 1 {
                one_us = us;
            }
            let broker_us = run["broker_cpu_us_per_delivery"];
            figures.extend(names.iter().copied().zip([us, us / one_us, broker_us, run["p99_ms"]]));
            add_faults(&mut figures, &run);
        }
    }
    Ok(figures)
}

fn talk(kind: &Kind, gateways: usize) -> Result<Figures, String> {
    let rooms = if kind.grows { kind.shape.rooms * gateways } else { kind.shape.rooms };
    let shape = Shape { rooms, ..kind.shape };
    let server = Server::fleet(shape, Sync::Default, Fleet { gateways, seating: kind.seating })?;
    let mut crew = Crew::new(&server).map_err(broken)?;
    assemble(&mut crew)?;
    let speech = Speech {
        publishers: PUBLISHERS,
        rate: kind.rate,
        // Until each publisher has spoken, and what the coming told the other gateways is over.
        warm: Duration::from_secs(4),
        measured: Duration::from_secs(6),
        drain: Duration::from_secs(5),
    };
    let talked = crew.talk(&speech).map_err(broken)?;
    Ok(talk_figures(&mut crew, &speech, &talked))
}
