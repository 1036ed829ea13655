//! The audit of a topology: people talk through the edge while every process is replaced and some are killed. Afterwards what was
//! acknowledged, what is stored, and what every member saw are compared.

use super::{Role, Size, Topology};
use crate::faults::Size as CrowdSize;
use crate::faults::crowd::Crowd;
use crate::faults::verdict::{Outcome, sockets_become};
use crate::metrics;
use crate::random::Random;
use broker::Broker;
use protocol::subject::Shard;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Five hundred sockets in seven rooms.
const CROWD: CrowdSize = CrowdSize { rooms: 7, people_in_room: 24, per_second: 24 };
/// Between what is done to it, so that people come to rest.
const CALM: Duration = Duration::from_secs(4);
/// Longest wait, after the last thing, until everybody has seen everything.
const SETTLE: Duration = Duration::from_secs(120);
/// How often the sockets of a gateway are counted.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs it; `say` gets a line for each thing that is done.
///
/// # Panics
/// When something can't be started, or does not come back.
pub async fn run(
    size: Size,
    listen: &str,
    folder: &Path,
    list: &Path,
    mut say: impl FnMut(String),
) -> Outcome {
    let began = Instant::now();
    let mut topology = Topology::start(size, listen, folder, list).await;
    say(format!("{} processes at {}", topology.pieces.len(), topology.address()));
    let mut random = Random::seeded(Random::any_seed());
    let mut crowd = Crowd::comes(&[topology.address()], CROWD, &mut random).await;
    let members = crowd.members().count();
    say(format!("{members} sockets in {} rooms", CROWD.rooms));
    let is_over = AtomicBool::new(false);
    let hurting = async {
        let faults = hurt(&mut topology, &mut say).await;
        is_over.store(true, Ordering::Relaxed);
        faults
    };
    let (faults, said) =
        tokio::join!(hurting, crowd.talks(CROWD, || is_over.load(Ordering::Relaxed), &mut random));
    say(format!("{said} messages said; waiting until everybody has seen everything"));
    let gateways: Vec<_> = topology.of(Role::Gateway).map(|gateway| gateway.operations.clone()).collect();
    let compared = compared(&mut crowd, &topology.broker().await, &gateways).await;
    let mut outcome = Outcome {
        again: "make verify-cluster".to_owned(),
        logs: folder.to_owned(),
        faults: faults.count,
        restarts: topology.restarts,
        ..compared
    };
    outcome.complaints.extend(faults.complaints);
    topology.stop().await;
    outcome.took = began.elapsed();
    outcome
}

/// Waits until everybody has seen everything, and compares what they saw and were told with what is stored.
pub async fn compared(crowd: &mut Crowd, broker: &Broker, gateways: &[String]) -> Outcome {
    let missing = crowd.settles(broker, SETTLE).await;
    let members = crowd.members().count();
    let sockets = sockets_become(members as u64, || open_sockets(gateways)).await;
    let mut outcome = Outcome { sockets: (members, sockets), ..Outcome::default() };
    outcome.complaints.extend(missing.map(|missing| format!("{SETTLE:?} after the last fault {missing}")));
    outcome.look_at(broker, crowd).await;
    outcome
}

#[derive(Default)]
struct Hurt {
    count: usize,
    complaints: Vec<String>,
}

/// Kills what may die, has more and fewer gateways, and replaces everything, the edge too.
async fn hurt(topology: &mut Topology, say: &mut impl FnMut(String)) -> Hurt {
    let mut hurt = Hurt::default();
    let leader = leader(topology).await;
    let follower = topology.of(Role::Nats).map(|server| server.name.clone()).find(|name| *name != leader);
    let gateway = topology.of(Role::Gateway).next().map(|gateway| gateway.name.clone());
    let victims = [Some(leader), follower, gateway];
    for name in victims.into_iter().flatten() {
        rest(topology).await;
        say(format!("{name} is killed"));
        topology.named(&name).expect("it is there").kill();
        hurt.count += 1;
        topology.all_ready().await;
    }
    let gateways = topology.of(Role::Gateway).count();
    for count in [gateways + 1, gateways] {
        rest(topology).await;
        topology.scale(Role::Gateway, count).await;
        say(format!("there are {count} gateways"));
        hurt.count += 1;
        if count > gateways {
            hurt.complaints.extend(newest_gets_sockets(topology, say).await.err());
        }
    }
    rest(topology).await;
    let rolled = topology.roll(say).await;
    hurt.count += rolled.replaced;
    hurt.complaints
        .extend(rolled.killed.iter().map(|name| format!("{name} had to be killed after its grace")));
    rest(topology).await;
    hurt
}

/// Waits until the gateway that was added has its share of the sockets, which the others send it.
async fn newest_gets_sockets(topology: &Topology, say: &mut impl FnMut(String)) -> Result<(), String> {
    let all: Vec<_> = topology.of(Role::Gateway).map(|gateway| gateway.operations.clone()).collect();
    let newest = topology.of(Role::Gateway).last().expect("there are gateways");
    let deadline = Instant::now() + SETTLE;
    loop {
        let share = open_sockets(&all).await / all.len() as u64;
        let sockets = open_sockets(std::slice::from_ref(&newest.operations)).await;
        // The others keep a tenth above their share.
        if sockets > 0 && sockets >= share * 3 / 4 {
            say(format!("{} has {sockets} sockets, its share is {share}", newest.name));
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!(
                "{} has {sockets} sockets after {SETTLE:?}, its share is {share}",
                newest.name
            ));
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn rest(topology: &mut Topology) {
    sleep(CALM).await;
    topology.all_ready().await;
}

/// The server that leads the log's first shard.
async fn leader(topology: &Topology) -> String {
    let broker = topology.broker().await;
    let asked = format!("$JS.API.STREAM.INFO.{}", Shard(0).stream());
    let info: serde_json::Value =
        broker.ask(asked, &serde_json::json!({}), Duration::from_secs(5)).await.expect("the stream is there");
    info["cluster"]["leader"].as_str().expect("it has a leader").to_owned()
}

async fn open_sockets(gateways: &[String]) -> u64 {
    let mut sum = 0;
    for gateway in gateways {
        sum += metrics::read(gateway, "backchat_gateway_sockets").await.unwrap_or(0);
    }
    sum
}
