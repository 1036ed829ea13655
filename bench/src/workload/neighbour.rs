//! What members cost who come into a room at another gateway.

use super::{Figures, add_faults, assemble_upto, broken, talk_figures};
use crate::{
    load::{Crew, Speech},
    machine::{Reading, Usage},
    server::{Fleet, GATEWAYS, Seating, Server, Shape, Sync},
};
use std::time::Duration;

/// Members at the first gateway, and how many come to the second: one for whose sake it hears the room, then many.
const HERE: usize = 500;
const THERE: [usize; 2] = [1, 1_000];
/// After the last has come, the gateways tell each other and their members.
const SETTLE: Duration = Duration::from_secs(5);

const SPEECH: Speech = Speech {
    publishers: 10,
    rate: 20.0,
    warm: Duration::from_secs(1),
    measured: Duration::from_secs(10),
    drain: Duration::from_secs(5),
};

/// Names of: the first gateway's CPU per message, the same to that before, the second gateway's, the broker's.
const NAMES: [[&str; 4]; 3] = [
    ["near_0_us", "near_0_ratio", "far_0_us", "broker_0_us"],
    ["near_1_us", "near_1_ratio", "far_1_us", "broker_1_us"],
    ["near_1000_us", "near_1000_ratio", "far_1000_us", "broker_1000_us"],
];

pub fn run() -> Result<Figures, String> {
    let members = HERE + THERE[1];
    let shape = Shape { rooms: 1, members, returning: false };
    let server = Server::fleet(shape, Sync::Default, Fleet { gateways: 2, seating: Seating::Beside(HERE) })?;
    let mut crew = Crew::new(&server).map_err(broken)?;
    let mut figures = Figures::new();
    let mut before_us = 0.0;
    for (there, names) in [0, THERE[0], THERE[1]].into_iter().zip(NAMES) {
        let before = Reading::take(&server.processes);
        assemble_upto(&mut crew, HERE + there)?;
        crew.hold(SETTLE).map_err(broken)?;
        let coming = Reading::take(&server.processes).since(&before);
        let talked = crew.talk(&SPEECH).map_err(broken)?;
        let per_message = |process| talked.usage.of(process) * 1e6 / talked.published.max(1) as f64;
        let near_us = per_message(GATEWAYS[0]);
        if there == 0 {
            before_us = near_us;
        }
        let costs = [near_us, near_us / before_us, per_message(GATEWAYS[1]), per_message("broker")];
        figures.extend(names.into_iter().zip(costs));
        if there == THERE[1] {
            figures.extend(while_they_come(&coming));
        }
        let run = talk_figures(&mut crew, &SPEECH, &talked);
        add_faults(&mut figures, &run);
    }
    Ok(figures)
}

/// What both gateways use while members come to the second, for each who comes.
fn while_they_come(coming: &Usage) -> [(&'static str, f64); 2] {
    let came = (THERE[1] - THERE[0]) as f64;
    let per_member = |process| coming.of(process) * 1e6 / came;
    [("near_join_us", per_member(GATEWAYS[0])), ("far_join_us", per_member(GATEWAYS[1]))]
}
