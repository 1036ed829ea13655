//! The audit under faults: people in several rooms talk through three gateways and three NATS servers while a seed decides
//! what is killed, paused, cut, slowed or filled. Afterwards what was acknowledged, what the log holds, what the histories say
//! and what every member saw are compared.

pub mod crowd;
mod reader;
mod rig;
pub mod schedule;
pub mod verdict;

pub use crowd::Size;
pub use verdict::Outcome;

use crate::process::target_folder;
use crate::random::Random;
use crowd::Crowd;
use rig::Rig;
use schedule::{Strike, schedule};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Longest wait, after everything is healed, until everybody has seen everything. A broker that holds a connection and
/// says nothing is given up after half a minute, and what was refused because the log was full is sent again as late.
const SETTLE: Duration = Duration::from_secs(120);
/// How often it is looked whether a service has ended by itself.
const WATCH_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// How long faults come.
    pub lasts: Duration,
    pub size: Size,
}

impl Plan {
    /// Three hundred and sixty sockets in six rooms.
    pub const SIZE: Size = Size { rooms: 6, people_in_room: 20, per_second: 24 };

    /// Where the logs of a run that is not clean are kept.
    pub fn logs(&self) -> PathBuf {
        target_folder().join(format!("faults-{}", self.seed))
    }

    /// The command that runs the same faults again.
    pub fn command(&self) -> String {
        format!("make faults SEED={} MINUTES={}", self.seed, self.lasts.as_secs_f64() / 60.0)
    }
}

/// Runs it to its end; `say` gets a line for each fault.
///
/// # Panics
/// When the pieces can't be started, or do not come back.
pub async fn run(plan: Plan, say: impl Fn(String)) -> Outcome {
    let began = Instant::now();
    let mut random = Random::seeded(plan.seed);
    let strikes = schedule(&mut random, plan.lasts, rig::GATEWAYS);
    let mut rig = Rig::start(plan.logs()).await;
    let mut crowd = Crowd::comes(&rig.doors(), plan.size, &mut random).await;
    let count = crowd.members().count();
    say(format!("{count} sockets in {} rooms, {} strikes to come", plan.size.rooms, strikes.len()));
    let striking = strike_all(&mut rig, &strikes, &say);
    let until = Instant::now() + plan.lasts;
    let talking = crowd.talks(plan.size, || Instant::now() >= until, &mut random);
    let (faults, said) = tokio::join!(striking, talking);
    say(format!(
        "{faults} faults were struck, {said} messages said; waiting until everything is healed and seen"
    ));
    rig.heals().await;
    if let Some(missing) = crowd.settles(rig.broker(), SETTLE).await {
        rig.complaints.push(format!("{SETTLE:?} after the last fault {missing}"));
    }
    let outcome = verdict::of(&mut rig, &mut crowd, plan).await;
    if outcome.is_clean() {
        rig.is_fine();
    }
    Outcome { faults, took: began.elapsed(), ..outcome }
}

/// Strikes one after the other; gives how many faults there were.
async fn strike_all(rig: &mut Rig, strikes: &[Strike], say: &impl Fn(String)) -> usize {
    let began = Instant::now();
    let mut faults = 0;
    for strike in strikes {
        watch_until(rig, Instant::now() + strike.calm).await;
        let mut ends = Vec::new();
        for (fault, lasts) in &strike.faults {
            faults += 1;
            say(format!(
                "{:7.1} s  {faults:3}  {fault}, for {:.1} s",
                began.elapsed().as_secs_f64(),
                lasts.as_secs_f64()
            ));
            rig.begin(*fault).await;
            ends.push((Instant::now() + *lasts, *fault));
        }
        ends.sort_by_key(|(end, _)| *end);
        for (end, fault) in ends {
            watch_until(rig, end).await;
            rig.end(fault).await;
        }
    }
    faults
}

async fn watch_until(rig: &mut Rig, end: Instant) {
    while Instant::now() < end {
        rig.watch();
        sleep_until(end.min(Instant::now() + WATCH_EVERY)).await;
    }
}
