//! What it costs to follow messages through the gateway: none of them, one in a hundred, all.

use super::{Figures, ROOM_MEMBERS, add_faults, assemble, broken, speech, talk_figures};
use crate::{
    collector::Collector,
    load::Crew,
    server::{Fleet, Server, Settings, Shape, Sync},
};
use std::time::Duration;

const SHAPE: Shape = Shape { rooms: 200, members: ROOM_MEMBERS, returning: false };
/// Messages a second in each room.
const RATE: f64 = 5.0;
/// When a gateway has handed over its last spans: it gathers them for a second.
const EXPORTED: Duration = Duration::from_secs(2);

/// What part of messages is followed, and the names of: the gateway's CPU per delivery, the same to following none, the broker's to
/// following none, the p99 of the latency, and spans for each message.
const RUNS: [(&str, [&str; 5]); 3] = [
    ("0", ["off_us", "off_ratio", "off_broker_ratio", "off_p99_ms", "off_spans"]),
    ("0.01", ["some_us", "some_ratio", "some_broker_ratio", "some_p99_ms", "some_spans"]),
    ("1", ["all_us", "all_ratio", "all_broker_ratio", "all_p99_ms", "all_spans"]),
];

pub fn run() -> Result<Figures, String> {
    let mut figures = Figures::new();
    let mut off = None;
    for (ratio, names) in RUNS {
        let run = talk(ratio)?;
        let [us, broker_us] = ["cpu_us_per_delivery", "broker_cpu_us_per_delivery"].map(|name| run[name]);
        let (off_us, off_broker_us) = *off.get_or_insert((us, broker_us));
        let all = [us, us / off_us, broker_us / off_broker_us, run["p99_ms"], run["spans_per_message"]];
        figures.extend(names.into_iter().zip(all));
        add_faults(&mut figures, &run);
    }
    Ok(figures)
}

fn talk(ratio: &str) -> Result<Figures, String> {
    let collector = Collector::start()?;
    // Off is as it is installed: no collector at all.
    let followed =
        [("BACKCHAT_GATEWAY_TRACES", collector.address.as_str()), ("BACKCHAT_GATEWAY_TRACES_RATIO", ratio)];
    let settings: Settings = if ratio == "0" { &[] } else { &followed };
    let server = Server::fleet_with(SHAPE, Sync::Default, Fleet::ALONE, settings)?;
    let mut crew = Crew::new(&server).map_err(broken)?;
    assemble(&mut crew)?;
    let speech = speech(RATE);
    let talked = crew.talk(&speech).map_err(broken)?;
    crew.hold(EXPORTED).map_err(broken)?;
    // Those of the warm-up are followed too.
    let published = talked.published as f64 * (1.0 + speech.warm.div_duration_f64(speech.measured));
    let spans_per_message = collector.spans() as f64 / published;
    let mut figures = talk_figures(&mut crew, &speech, &talked);
    figures.insert("spans_per_message", spans_per_message);
    Ok(figures)
}
