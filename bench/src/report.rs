//! What comes of all runs: a line of JSON for each, and a table of medians and ratios.

use crate::{
    statistics::Spread,
    workload::{Figures, Target, WRONG, Workload},
};
use std::{collections::BTreeMap, fmt::Write};

/// All runs, by what they were.
#[derive(Debug, Default)]
pub struct Runs(BTreeMap<(Workload, Target), Vec<Figures>>);

/// One line of the table.
struct Row {
    workload: Workload,
    figure: &'static str,
    says: &'static str,
    goal: Option<Goal>,
}

/// What is aimed at.
#[derive(Debug, Clone, Copy)]
enum Goal {
    /// The ratio to the ceiling server of the same repetition.
    RatioAtMost(f64),
    RatioAtLeast(f64),
    /// The figure itself.
    AtMost(f64),
}

const fn row(workload: Workload, figure: &'static str, says: &'static str, goal: Option<Goal>) -> Row {
    Row { workload, figure, says, goal }
}

const ROWS: [Row; 115] = [
    row(Workload::Fanout20, "cpu_us_per_delivery", "CPU µs per delivery", Some(Goal::RatioAtMost(1.2))),
    row(Workload::Fanout20, "broker_cpu_us_per_delivery", "broker's CPU µs per delivery", None),
    row(Workload::Fanout20, "p50_ms", "latency p50, ms", None),
    row(Workload::Fanout20, "p99_ms", "latency p99, ms", None),
    row(Workload::Fanout20, "wrong", "lost, duplicated, reordered", Some(Goal::AtMost(0.0))),
    row(Workload::Fanout100, "cpu_us_per_delivery", "CPU µs per delivery", Some(Goal::RatioAtMost(0.7))),
    row(Workload::Fanout100, "broker_cpu_us_per_delivery", "broker's CPU µs per delivery", None),
    row(Workload::Fanout100, "p50_ms", "latency p50, ms", None),
    row(Workload::Fanout100, "p99_ms", "latency p99, ms", None),
    row(Workload::Fanout100, "wrong", "lost, duplicated, reordered", Some(Goal::AtMost(0.0))),
    row(Workload::Rooms, "cpu_us_per_delivery", "CPU µs per delivery", None),
    row(
        Workload::Rooms,
        "all_cpu_us_per_delivery",
        "CPU µs per delivery with the broker's",
        Some(Goal::RatioAtMost(2.0)),
    ),
    row(Workload::Rooms, "p50_ms", "latency p50, ms", None),
    row(Workload::Rooms, "p99_ms", "latency p99, ms", Some(Goal::RatioAtMost(3.0))),
    row(Workload::Rooms, "wrong", "lost, duplicated, reordered", Some(Goal::AtMost(0.0))),
    row(Workload::RoomsUnsynced, "cpu_us_per_delivery", "CPU µs per delivery", None),
    row(Workload::RoomsUnsynced, "all_cpu_us_per_delivery", "CPU µs per delivery with the broker's", None),
    row(Workload::RoomsUnsynced, "p99_ms", "latency p99, ms", None),
    row(Workload::Saturation, "messages_per_s", "messages/s kept up with", Some(Goal::RatioAtLeast(8.0))),
    row(Workload::Saturation, "cpu_us_per_delivery", "CPU µs per delivery at that rate", None),
    row(Workload::Saturation, "sent_mb_per_s", "MB/s sent at that rate", None),
    row(Workload::Saturation, "load_share_max", "load generator's share of a core at worst", None),
    row(Workload::Idle, "sockets", "sockets", None),
    row(Workload::Idle, "rss_kib_per_socket", "memory per socket, KiB", Some(Goal::AtMost(5.0))),
    row(Workload::Idle, "quiet_cpu_percent", "CPU in 3 s of silence, % of a core", Some(Goal::AtMost(0.5))),
    row(Workload::Idle, "cpu_percent", "CPU while each is pinged once, % of a core", None),
    row(Workload::Idle, "broker_cpu_percent", "broker's CPU, % of a core", None),
    row(Workload::Storm, "handshakes_per_s", "handshakes/s", Some(Goal::RatioAtLeast(0.6))),
    row(Workload::Storm, "cpu_us_per_handshake", "CPU µs per handshake", None),
    row(Workload::Storm, "broker_cpu_us_per_handshake", "broker's CPU µs per handshake", None),
    row(Workload::StormReturning, "handshakes_per_s", "handshakes/s", Some(Goal::RatioAtLeast(0.6))),
    row(Workload::StormReturning, "cpu_us_per_handshake", "CPU µs per handshake", None),
    row(Workload::Ack, "always_ack_us", "acknowledgement, `sync_interval: always`, µs", None),
    row(Workload::Ack, "always_ratio", "the same to a bare publish", Some(Goal::AtMost(2.0))),
    row(Workload::Ack, "default_ack_us", "acknowledgement, `sync_interval` default, µs", None),
    row(Workload::Ack, "default_ratio", "the same to a bare publish", Some(Goal::AtMost(2.0))),
    row(
        Workload::Gateways,
        "busy_1_us",
        "50 rooms of 10 at each gateway, one gateway: CPU µs per delivery",
        None,
    ),
    row(Workload::Gateways, "busy_2_ratio", "two gateways: to one gateway", Some(Goal::AtMost(1.1))),
    row(Workload::Gateways, "busy_4_ratio", "four gateways: to one gateway", Some(Goal::AtMost(1.1))),
    row(Workload::Gateways, "small_1_us", "200 rooms of 10 in all, one gateway: CPU µs per delivery", None),
    row(
        Workload::Gateways,
        "together_2_ratio",
        "two gateways, each room at one: to one gateway",
        Some(Goal::AtMost(1.1)),
    ),
    row(
        Workload::Gateways,
        "together_4_ratio",
        "four gateways, each room at one: to one gateway",
        Some(Goal::AtMost(1.1)),
    ),
    row(Workload::Gateways, "spread_2_ratio", "two gateways, each room at all: to one gateway", None),
    row(Workload::Gateways, "spread_4_ratio", "four gateways, each room at all: to one gateway", None),
    row(Workload::Gateways, "hundred_1_us", "20 rooms of 100, one gateway: CPU µs per delivery", None),
    row(Workload::Gateways, "hundred_2_ratio", "two gateways, each room at all: to one gateway", None),
    row(Workload::Gateways, "hundred_4_ratio", "four gateways, each room at all: to one gateway", None),
    row(Workload::Gateways, "hall_1_us", "2 rooms of 1,000, one gateway: CPU µs per delivery", None),
    row(
        Workload::Gateways,
        "hall_2_ratio",
        "two gateways, each room at all: to one gateway",
        Some(Goal::AtMost(1.1)),
    ),
    row(
        Workload::Gateways,
        "hall_4_ratio",
        "four gateways, each room at all: to one gateway",
        Some(Goal::AtMost(1.1)),
    ),
    row(
        Workload::Gateways,
        "small_1_broker_us",
        "broker's CPU µs per delivery, 200 rooms of 10, one gateway",
        None,
    ),
    row(Workload::Gateways, "together_4_broker_us", "the same, four gateways, each room at one", None),
    row(Workload::Gateways, "spread_4_broker_us", "the same, four gateways, each room at all", None),
    row(Workload::Gateways, "wrong", "lost, duplicated, reordered", Some(Goal::AtMost(0.0))),
    row(Workload::Neighbour, "near_0_us", "500 members at A: A's CPU µs per message", None),
    row(Workload::Neighbour, "near_1_ratio", "one more at B: A's to before", Some(Goal::AtMost(1.1))),
    row(Workload::Neighbour, "near_1000_ratio", "1,000 more at B: A's to before", Some(Goal::AtMost(1.1))),
    row(Workload::Neighbour, "far_1_us", "B's CPU µs per message, one member", None),
    row(Workload::Neighbour, "far_1000_us", "B's CPU µs per message, 1,000 members", None),
    row(Workload::Neighbour, "broker_0_us", "broker's CPU µs per message, A alone", None),
    row(Workload::Neighbour, "broker_1000_us", "broker's CPU µs per message, A and B", None),
    row(Workload::Neighbour, "near_join_us", "while they come: A's CPU µs per member", None),
    row(Workload::Neighbour, "far_join_us", "while they come: B's CPU µs per member", None),
    row(Workload::Neighbour, "wrong", "lost, duplicated, reordered", Some(Goal::AtMost(0.0))),
    row(
        Workload::Company,
        "one_cpu_percent",
        "800 rooms of 10, one gateway: gateway's CPU, % of a core",
        None,
    ),
    row(Workload::Company, "one_broker_cpu_percent", "broker's CPU, % of a core", None),
    row(Workload::Company, "one_rss_kib", "memory for each room that is open at a gateway, KiB", None),
    row(Workload::Company, "one_broker_rss_kib", "broker's memory for the same, KiB", None),
    row(
        Workload::Company,
        "two_cpu_percent",
        "800 rooms of 10, two gateways: gateways' CPU, % of a core",
        None,
    ),
    row(Workload::Company, "two_broker_cpu_percent", "broker's CPU, % of a core", None),
    row(Workload::Company, "two_rss_kib", "memory for each room that is open at a gateway, KiB", None),
    row(Workload::Company, "two_broker_rss_kib", "broker's memory for the same, KiB", None),
    row(
        Workload::Company,
        "four_cpu_percent",
        "800 rooms of 10, four gateways: gateways' CPU, % of a core",
        None,
    ),
    row(Workload::Company, "four_broker_cpu_percent", "broker's CPU, % of a core", None),
    row(Workload::Company, "four_rss_kib", "memory for each room that is open at a gateway, KiB", None),
    row(Workload::Company, "four_broker_rss_kib", "broker's memory for the same, KiB", None),
    row(
        Workload::Shards,
        "always_1_per_s",
        "`sync_interval: always`, one shard: acknowledged messages/s",
        None,
    ),
    row(Workload::Shards, "always_2_ratio", "two shards: to one shard", None),
    row(Workload::Shards, "always_4_ratio", "four shards: to one shard", None),
    row(Workload::Shards, "always_8_ratio", "eight shards: to one shard", None),
    row(Workload::Shards, "always_1_us", "broker's CPU µs per message, one shard", None),
    row(Workload::Shards, "always_8_us", "broker's CPU µs per message, eight shards", None),
    row(
        Workload::Shards,
        "default_1_per_s",
        "`sync_interval` default, one shard: acknowledged messages/s",
        None,
    ),
    row(Workload::Shards, "default_2_ratio", "two shards: to one shard", None),
    row(Workload::Shards, "default_4_ratio", "four shards: to one shard", None),
    row(Workload::Shards, "default_8_ratio", "eight shards: to one shard", None),
    row(Workload::Shards, "default_1_us", "broker's CPU µs per message, one shard", None),
    row(Workload::Shards, "default_8_us", "broker's CPU µs per message, eight shards", None),
    row(
        Workload::Shards,
        "copied_1_per_s",
        "three servers with a copy each, `sync_interval` default, one shard: acknowledged messages/s",
        None,
    ),
    row(Workload::Shards, "copied_2_ratio", "two shards: to one shard", None),
    row(Workload::Shards, "copied_4_ratio", "four shards: to one shard", None),
    row(Workload::Shards, "copied_8_ratio", "eight shards: to one shard", None),
    row(Workload::Shards, "copied_1_us", "all three servers' CPU µs per message, one shard", None),
    row(Workload::Shards, "copied_8_us", "all three servers' CPU µs per message, eight shards", None),
    row(
        Workload::Shards,
        "copied_always_1_per_s",
        "the same with `sync_interval: always`, one shard: acknowledged messages/s",
        None,
    ),
    row(Workload::Shards, "copied_always_2_ratio", "two shards: to one shard", None),
    row(Workload::Shards, "copied_always_4_ratio", "four shards: to one shard", None),
    row(Workload::Shards, "copied_always_8_ratio", "eight shards: to one shard", None),
    row(Workload::Shards, "copied_always_1_us", "all three servers' CPU µs per message, one shard", None),
    row(Workload::Shards, "copied_always_8_us", "all three servers' CPU µs per message, eight shards", None),
    row(Workload::Shards, "load_share", "load generator's share of a core at worst", None),
    row(Workload::Rings, "ring_kib_per_room", "memory of a room whose ring is full, KiB", None),
    row(Workload::Rings, "ring_kib_per_event", "the same for each event in it, KiB", None),
    row(Workload::RoomsSaturation, "messages_per_s", "messages/s kept up with", None),
    row(Workload::RoomsSaturation, "deliveries_per_s", "deliveries/s at that rate", None),
    row(Workload::RoomsSaturation, "cpu_us_per_delivery", "CPU µs per delivery at that rate", None),
    row(
        Workload::RoomsSaturation,
        "broker_cpu_us_per_delivery",
        "broker's CPU µs per delivery at that rate",
        None,
    ),
    row(Workload::RoomsSaturation, "sent_mb_per_s", "MB/s sent at that rate", None),
    row(Workload::RoomsSaturation, "load_share_max", "load generator's share of a core at worst", None),
    row(
        Workload::Traces,
        "off_us",
        "200 rooms of 10, no message is followed: gateway's CPU µs per delivery",
        None,
    ),
    row(Workload::Traces, "some_ratio", "one in a hundred: to none", Some(Goal::AtMost(1.05))),
    row(Workload::Traces, "all_ratio", "every one: to none", None),
    row(Workload::Traces, "all_broker_ratio", "the broker's, every one: to none", None),
    row(Workload::Traces, "all_spans", "spans for each message", None),
    row(Workload::Traces, "wrong", "lost, duplicated, reordered", Some(Goal::AtMost(0.0))),
];

impl Runs {
    /// Adds a run, and gives it as a line of JSON.
    pub fn add(&mut self, workload: Workload, target: Target, mut figures: Figures) -> String {
        if figures.contains_key("lost") {
            figures.insert("wrong", WRONG.iter().map(|name| figures[name].abs()).sum());
        }
        let mut line = serde_json::json!({ "workload": workload.name(), "server": target.name() });
        for (name, figure) in &figures {
            line[name] = ((figure * 1_000.0).round() / 1_000.0).into();
        }
        self.0.entry((workload, target)).or_default().push(figures);
        line.to_string()
    }

    /// The table, as Markdown.
    pub fn table(&self) -> String {
        let mut table = "| workload | figure | ceiling | backchat | ratio (least–greatest) | goal | met |\n\
            |---|---|---|---|---|---|---|\n"
            .to_owned();
        for row in &ROWS {
            let ceiling = self.figures(row, Target::Ceiling);
            let backchat = self.figures(row, Target::Gateway);
            let Some(own) = Spread::of(&backchat) else { continue };
            let ratios: Vec<f64> = ceiling.iter().zip(&backchat).map(|(base, own)| own / base).collect();
            // Where the ceiling server has nothing (a broker), there is no ratio.
            let ratio = Spread::of(&ratios).filter(|ratio| ratio.max.is_finite());
            let (goal, met) = row.goal.map_or((String::new(), ""), |goal| goal.judge(own, ratio));
            let base = Spread::of(&ceiling).filter(|_| ratio.is_some());
            let _ = writeln!(
                table,
                "| {} | {} | {} | {} | {} | {goal} | {met} |",
                row.workload.name(),
                row.says,
                base.map_or_else(String::new, |base| number(base.median)),
                number(own.median),
                ratio.map_or_else(String::new, spread),
            );
        }
        table
    }

    /// How much of the machine others used, in cores, over all runs.
    pub fn others_cores(&self) -> Option<Spread> {
        let all: Vec<_> =
            self.0.values().flatten().filter_map(|run| run.get("others_cores")).copied().collect();
        Spread::of(&all)
    }

    fn figures(&self, row: &Row, target: Target) -> Vec<f64> {
        let runs = self.0.get(&(row.workload, target)).map(Vec::as_slice).unwrap_or_default();
        runs.iter().filter_map(|run| run.get(row.figure)).copied().collect()
    }
}

impl Goal {
    /// The goal in words, and whether it is met: by the median.
    fn judge(self, own: Spread, ratio: Option<Spread>) -> (String, &'static str) {
        let (words, met) = match self {
            Self::RatioAtMost(most) => (format!("ratio ≤ {most}"), ratio.is_some_and(|r| r.median <= most)),
            Self::RatioAtLeast(least) => {
                (format!("ratio ≥ {least}"), ratio.is_some_and(|r| r.median >= least))
            }
            Self::AtMost(most) => (format!("≤ {most}"), own.median <= most),
        };
        (words, if met { "yes" } else { "no" })
    }
}

fn spread(ratio: Spread) -> String {
    format!("**{}** ({}–{})", number(ratio.median), number(ratio.min), number(ratio.max))
}

/// Three digits that say something.
fn number(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}
