//! What the end of an open room takes of a gateway's memory.

use super::{Figures, assemble, broken};
use crate::{
    load::{Crew, Speech},
    machine::rss_kib,
    server::{Server, Shape, Sync},
};
use std::time::Duration;

const SHAPE: Shape = Shape { rooms: 50, members: 2, returning: false };
/// So many messages fill a ring, with the usual `ring_events`.
const RING_EVENTS: f64 = 512.0;
const MESSAGES: f64 = 600.0;
const RATE: f64 = 30.0;

pub fn run() -> Result<Figures, String> {
    let server = Server::gateway(SHAPE, Sync::Default)?;
    let process = server.processes["server"];
    let mut crew = Crew::new(&server).map_err(broken)?;
    assemble(&mut crew)?;
    let speech = |messages: f64| Speech {
        publishers: 2,
        rate: RATE,
        warm: Duration::ZERO,
        measured: Duration::from_secs_f64(messages / RATE),
        drain: Duration::from_secs(5),
    };
    // What each room takes that has hardly anything in its ring is no part of it.
    crew.talk(&speech(10.0)).map_err(broken)?;
    let before_kib = rss_kib(process);
    let talked = crew.talk(&speech(MESSAGES)).map_err(broken)?;
    let grown_kib = rss_kib(process) - before_kib;
    Ok(Figures::from([
        ("ring_kib_per_room", grown_kib / SHAPE.rooms as f64),
        ("ring_kib_per_event", grown_kib / SHAPE.rooms as f64 / RING_EVENTS),
        ("others_cores", talked.usage.others_cores()),
    ]))
}
