//! The highest rate that a server keeps up with.

use super::{FANOUT_MEMBERS, Figures, ROOM_MEMBERS, Target, assemble, broken, talk_figures};
use crate::{
    load::{Crew, Speech},
    server::{Shape, Sync},
};
use std::time::Duration;

/// Who talks, and who listens.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    shape: Shape,
    sync: Sync,
    /// In each room: a member's messages are stored one after the other.
    publishers: usize,
    /// Messages a second in each room with which the search starts.
    first_rate: f64,
    warm: Duration,
}

/// One room of a thousand.
pub const ONE_ROOM: Load = Load {
    shape: Shape { rooms: 1, members: FANOUT_MEMBERS, returning: true },
    sync: Sync::Always,
    publishers: 40,
    first_rate: 100.0,
    warm: Duration::from_secs(1),
};
/// Many small rooms, and a broker that does not wait for the disk.
pub const SMALL_ROOMS: Load = Load {
    shape: Shape { rooms: 200, members: ROOM_MEMBERS, returning: true },
    sync: Sync::Default,
    publishers: 10,
    first_rate: 5.0,
    warm: Duration::from_secs(2),
};

/// The answer is known to about seven percent.
const PRECISION: f64 = 1.07;
const P99_MAX_MS: f64 = 200.0;
/// A rate is tried so often before it counts as too high: something else may have disturbed it.
const TRIES: usize = 2;
/// No server gets below this.
const LOWEST_RATE: f64 = 1.0;

/// Doubles the rate until it is too high, then halves the gap.
pub fn search(target: Target, load: Load) -> Result<Figures, String> {
    let (mut rate, mut held, mut too_high) = (load.first_rate, None, None);
    let mut load_share = 0.0_f64;
    loop {
        let figures = hold(target, load, rate)?;
        load_share = load_share.max(figures["load_share"]);
        if keeps_up(&figures) {
            held = Some((rate, figures));
        } else {
            too_high = Some(rate);
        }
        let low = held.as_ref().map_or(0.0, |(rate, _)| *rate);
        rate = match too_high {
            None => rate * 2.0,
            Some(high) if low == 0.0 => high / 2.0,
            Some(high) if high / low <= PRECISION => break,
            Some(high) => low.midpoint(high),
        };
        if rate * (load.shape.rooms as f64) < LOWEST_RATE {
            break;
        }
    }
    let (rate, mut figures) = held.ok_or("no rate at all held")?;
    figures.extend([("messages_per_s", rate * load.shape.rooms as f64), ("load_share_max", load_share)]);
    Ok(figures)
}

/// The figures of the first run at this rate with which the server keeps up, else of the last.
fn hold(target: Target, load: Load, rate: f64) -> Result<Figures, String> {
    let mut figures = run(target, load, rate)?;
    for _ in 1..TRIES {
        if keeps_up(&figures) {
            break;
        }
        figures = run(target, load, rate)?;
    }
    Ok(figures)
}

fn keeps_up(figures: &Figures) -> bool {
    const NONE: [&str; 6] = ["lost", "duplicated", "reordered", "misrouted", "refused", "disconnected"];
    NONE.iter().all(|name| figures[name] == 0.0) && figures["p99_ms"] < P99_MAX_MS
}

fn run(target: Target, load: Load, rate: f64) -> Result<Figures, String> {
    let server = target.start(load.shape, load.sync)?;
    let mut crew = Crew::new(&server).map_err(broken)?;
    assemble(&mut crew)?;
    let speech = Speech {
        publishers: load.publishers,
        rate,
        warm: load.warm,
        measured: Duration::from_secs(4),
        drain: Duration::from_secs(3),
    };
    let talked = crew.talk(&speech).map_err(broken)?;
    Ok(talk_figures(&mut crew, &speech, &talked))
}
