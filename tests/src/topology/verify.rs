//! The audit of a topology: people talk through the edge while every process is replaced and some are killed. Afterwards what was
//! acknowledged, what is stored, and what every member saw are compared.

use super::visits::visits;
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
/// Those of which one is killed, besides two NATS servers.
const KILLED: [Role; 5] =
    [Role::Gateway, Role::HistoryWorker, Role::Auth, Role::SearchWorker, Role::SurrealDb];
/// Between what is done to it, so that people come to rest.
const CALM: Duration = Duration::from_secs(3);
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
    topology.look().await;
    let mut outcome = Outcome {
        again: "make verify-cluster".to_owned(),
        logs: folder.to_owned(),
        faults: faults.count,
        restarts: topology.restarts.len(),
        ..compared
    };
    outcome.complaints.extend(faults.complaints);
    outcome.complaints.extend(unexplained(faults.killed, &topology.restarts));
    outcome.complaints.extend(topology.stop().await);
    outcome.took = began.elapsed();
    outcome
}

/// A sentence for each that ended without having been killed, and for each that was killed and not started again.
fn unexplained(mut killed: Vec<String>, restarts: &[(String, i32)]) -> Vec<String> {
    let mut sentences = Vec::new();
    for (name, code) in restarts {
        match killed.iter().position(|victim| victim == name) {
            Some(place) => drop(killed.remove(place)),
            None => sentences.push(format!("{name} ended by itself with {code}, and was started again")),
        }
    }
    sentences.extend(killed.iter().map(|name| format!("{name} was killed, and not started again")));
    sentences
}

/// Waits until everybody has seen everything, and compares what they saw and were told with what is stored.
pub async fn compared(crowd: &mut Crowd, broker: &Broker, gateways: &[String]) -> Outcome {
    let missing = crowd.settles(broker, SETTLE).await;
    let members = crowd.members().count();
    let sockets = sockets_become(members as u64, || open_sockets(gateways)).await;
    let mut outcome = Outcome { sockets: (members, sockets), ..Outcome::default() };
    outcome.complaints.extend(missing.map(|missing| format!("{SETTLE:?} after the last fault {missing}")));
    outcome.look_at(broker, crowd).await;
    outcome.wants_all_seen_live();
    outcome
}

#[derive(Default)]
struct Hurt {
    count: usize,
    /// Who was killed; each is to be started again.
    killed: Vec<String>,
    complaints: Vec<String>,
}

/// Kills one of each that may die, has more and fewer gateways, and replaces everything, the edge too.
async fn hurt(topology: &mut Topology, say: &mut impl FnMut(String)) -> Hurt {
    let mut hurt = Hurt::default();
    if let Err(why) = hurt.everything(topology, say).await {
        hurt.complaints.push(why);
    }
    hurt
}

impl Hurt {
    /// # Errors
    /// A sentence, when something does not become ready again. The rest is not done.
    async fn everything(
        &mut self,
        topology: &mut Topology,
        say: &mut impl FnMut(String),
    ) -> Result<(), String> {
        let leader = leader(topology).await;
        let follower = topology.of(Role::Nats).map(|server| server.name.clone()).find(|name| *name != leader);
        let first = |role| topology.of(role).next().map(|piece| piece.name.clone());
        let others = KILLED.map(first);
        for name in [Some(leader), follower].into_iter().chain(others).flatten() {
            rest(topology).await?;
            say(format!("{name} is killed"));
            self.count += 1;
            self.killed.push(name.clone());
            topology.outlives(&name).await?;
        }
        let gateways = topology.of(Role::Gateway).count();
        for count in [gateways + 1, gateways] {
            rest(topology).await?;
            topology.scale(Role::Gateway, count).await?;
            say(format!("there are {count} gateways"));
            self.count += 1;
            if count > gateways {
                self.complaints.extend(newest_gets_sockets(topology, say).await.err());
            }
        }
        rest(topology).await?;
        let address = topology.address();
        let is_over = AtomicBool::new(false);
        let rolling = async {
            let rolled = topology.roll(say).await;
            is_over.store(true, Ordering::Relaxed);
            rolled
        };
        let (rolled, visits) = tokio::join!(rolling, visits(&address, || is_over.load(Ordering::Relaxed)));
        let rolled = rolled?;
        say(format!(
            "meanwhile {} pages were loaded and as many logged in; the longest took {:.1} s",
            visits.count,
            visits.longest.as_secs_f64()
        ));
        self.count += rolled.replaced;
        self.complaints.extend(rolled.disorder);
        self.complaints.extend(visits.complaints);
        rest(topology).await
    }
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

async fn rest(topology: &mut Topology) -> Result<(), String> {
    sleep(CALM).await;
    topology.all_ready().await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_by_itself_and_what_stayed_away_is_told() {
        let restarts =
            [("nats-1".to_owned(), 137), ("gateway-2".to_owned(), 101), ("nats-1".to_owned(), 137)];
        let killed = ["nats-1", "gateway-1"].map(str::to_owned);
        assert_eq!(
            unexplained(killed.to_vec(), &restarts),
            [
                "gateway-2 ended by itself with 101, and was started again",
                "nats-1 ended by itself with 137, and was started again",
                "gateway-1 was killed, and not started again",
            ]
        );
        assert!(unexplained(vec!["nats-1".to_owned()], &restarts[..1]).is_empty());
    }
}
