//! The highest rate into one room of a thousand that a server keeps up with.

use super::{FANOUT_MEMBERS, Figures, Target, assemble, broken, talk_figures};
use crate::{
    load::{Crew, Speech},
    server::{Shape, Sync},
};
use std::time::Duration;

/// Messages a second with which the search starts.
const FIRST_RATE: f64 = 100.0;
/// The answer is known to about seven percent.
const PRECISION: f64 = 1.07;
/// A member's messages are stored one after the other, so the room has many who write.
const PUBLISHERS: usize = 40;
const P99_MAX_MS: f64 = 200.0;
/// A rate is tried so often before it counts as too high: something else may have disturbed it.
const TRIES: usize = 2;
/// No server gets below this.
const LOWEST_RATE: f64 = 1.0;

/// Doubles the rate until it is too high, then halves the gap.
pub fn search(target: Target) -> Result<Figures, String> {
    let (mut rate, mut held, mut too_high) = (FIRST_RATE, None, None);
    let mut load_share = 0.0_f64;
    loop {
        let figures = hold(target, rate)?;
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
        if rate < LOWEST_RATE {
            break;
        }
    }
    let (rate, mut figures) = held.ok_or("no rate at all held")?;
    figures.extend([("messages_per_s", rate), ("load_share_max", load_share)]);
    Ok(figures)
}

/// The figures of the first run at this rate with which the server keeps up, else of the last.
fn hold(target: Target, rate: f64) -> Result<Figures, String> {
    let mut figures = run(target, rate)?;
    for _ in 1..TRIES {
        if keeps_up(&figures) {
            break;
        }
        figures = run(target, rate)?;
    }
    Ok(figures)
}

fn keeps_up(figures: &Figures) -> bool {
    const NONE: [&str; 6] = ["lost", "duplicated", "reordered", "misrouted", "refused", "disconnected"];
    NONE.iter().all(|name| figures[name] == 0.0) && figures["p99_ms"] < P99_MAX_MS
}

fn run(target: Target, rate: f64) -> Result<Figures, String> {
    let server = target.start(Shape { rooms: 1, members: FANOUT_MEMBERS, returning: true }, Sync::Always)?;
    let mut crew = Crew::new(&server).map_err(broken)?;
    assemble(&mut crew)?;
    let speech = Speech {
        publishers: PUBLISHERS,
        rate,
        warm: Duration::from_secs(1),
        measured: Duration::from_secs(4),
        drain: Duration::from_secs(3),
    };
    let talked = crew.talk(&speech).map_err(broken)?;
    Ok(talk_figures(&mut crew, &speech, &talked))
}
