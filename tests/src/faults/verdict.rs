//! What came of a run: the log, the histories and the members compared, and what the processes took.

use super::Plan;
use super::crowd::{Crowd, Room};
use super::rig::Rig;
use crate::audit::{Audit, Excerpt, Verdict, View};
use crate::process::Memory;
use crate::steady::Report;
use crate::steady::format::Format;
use crate::stored;
use broker::Broker;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Longest wait until gateways have let go of sockets whose other end is gone.
const LET_GO: Duration = Duration::from_secs(60);
/// Events in a page that is asked for.
const PAGE: usize = 100;
/// Lines of each kind that are shown, at most.
const SHOWN: usize = 5;
/// What one process may take, in KiB.
const MEMORY_KIB_MAX: u64 = 1024 * 1024;
/// Refusals that may come while the broker is hurt, and after which the same message goes through.
const EXPECTED: [&str; 3] = ["not_confirmed", "storage_full", "busy"];

/// Sockets left for want of a message, at most, where nothing but processes was hurt. A gateway that shows nothing is left by all.
const UNSEEN_MAX: usize = 10;

/// What came of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The command that does the same again.
    pub again: String,
    /// Where the logs are, unless everything is fine.
    pub logs: PathBuf,
    pub faults: usize,
    /// All rooms together.
    pub verdict: Verdict,
    /// Sockets of members, and open ones as the gateways count them.
    pub sockets: (usize, u64),
    /// Pages that were read while everything was hurt.
    pub pages: usize,
    /// Sockets opened, in all.
    pub opened: usize,
    /// Why sockets ended, by close code.
    pub closes: BTreeMap<u16, usize>,
    /// Refusals after which a message was sent again, by code.
    pub postponed: BTreeMap<String, usize>,
    /// Messages of one page that were stored in another order than the one in which it sent them.
    pub reordered: usize,
    pub memory: Vec<(String, Memory)>,
    /// Processes that ended without having been asked to and were started again. Whoever hurts them knows how many that should be.
    pub restarts: usize,
    /// Sockets left because an acknowledged message did not appear. Whoever breaks the live way knows whether there may be any.
    pub unseen: usize,
    /// The longest time that a member was away: from the end of a socket until everything that came meanwhile was there.
    pub longest_away: Duration,
    /// The longest time from sending a message first until its acknowledgement, and from an event's storage until a member saw it.
    pub longest_to_ack: Duration,
    pub longest_to_seen: Duration,
    /// Everything else that should not have happened.
    pub complaints: Vec<String>,
    pub took: Duration,
}

impl Outcome {
    pub fn is_clean(&self) -> bool {
        self.verdict.is_clean()
            && self.verdict.acknowledged > 0
            && self.pages > 0
            && self.sockets.0 as u64 == self.sockets.1
            && self.reordered == 0
            && self.complaints.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict)?;
        writeln!(
            f,
            "sockets: {} members, {} at the gateways, {} opened in all; {} pages read meanwhile",
            self.sockets.0, self.sockets.1, self.opened, self.pages
        )?;
        writeln!(f, "closes by code: {:?}; refused for a while: {:?}", self.closes, self.postponed)?;
        writeln!(
            f,
            "stored in another order than a page sent: {}; sockets left for want of a message: {}; processes started again: {}",
            self.reordered, self.unseen, self.restarts
        )?;
        for (name, memory) in &self.memory {
            writeln!(
                f,
                "memory of {name}: {} MiB, {} at most",
                memory.resident_kib / 1024,
                memory.peak_kib / 1024
            )?;
        }
        for complaint in self.complaints.iter().take(SHOWN) {
            writeln!(f, "{complaint}")?;
        }
        writeln!(
            f,
            "longest interruption of a member: {:.1} s; from sending to acknowledgement {:.1} s, from storage to sight {:.1} s",
            self.longest_away.as_secs_f64(),
            self.longest_to_ack.as_secs_f64(),
            self.longest_to_seen.as_secs_f64()
        )?;
        writeln!(f, "again: {}", self.again)?;
        if self.pages == 0 {
            writeln!(f, "nobody read a page meanwhile")?;
        }
        if self.is_clean() {
            write!(f, "clean: {} faults, {} s", self.faults, self.took.as_secs())
        } else {
            write!(
                f,
                "NOT CLEAN: {} faults, {} s; logs are in {}",
                self.faults,
                self.took.as_secs(),
                self.logs.display()
            )
        }
    }
}

/// Looks at everything, once all is healed and settled.
pub async fn of(rig: &mut Rig, crowd: &mut Crowd, plan: Plan) -> Outcome {
    let members = crowd.members().count();
    let sockets = (members, sockets_become(members as u64, || rig.sockets()).await);
    let mut outcome = Outcome {
        again: plan.command(),
        logs: plan.logs(),
        sockets,
        memory: rig.memory(),
        restarts: rig.restarts,
        complaints: std::mem::take(&mut rig.complaints),
        ..Outcome::default()
    };
    outcome.look_at(rig.broker(), crowd).await;
    outcome
}

/// Waits until the gateways count so many sockets; gives what they count at last.
pub async fn sockets_become<C: Future<Output = u64>>(wanted: u64, sockets: impl Fn() -> C) -> u64 {
    let deadline = Instant::now() + LET_GO;
    loop {
        let count = sockets().await;
        if count == wanted || Instant::now() > deadline {
            return count;
        }
        sleep(Duration::from_millis(250)).await;
    }
}

impl Outcome {
    /// Compares what everybody saw and was told with what is stored. Nobody stays.
    pub async fn look_at(&mut self, broker: &Broker, crowd: &mut Crowd) {
        let readings: Vec<_> = crowd.rooms.iter_mut().map(Room::readings).collect();
        for (room, readings) in crowd.rooms.iter_mut().zip(readings) {
            self.look_at_room(broker, room, readings).await;
        }
        self.complain();
    }

    async fn look_at_room(&mut self, broker: &Broker, room: &mut Room, readings: Vec<Excerpt>) {
        let history = stored::log(broker, &room.code).await;
        let mut audit = Audit { history, excerpts: readings, ..Audit::default() };
        let whole = |name: &str, events| View { name: format!("{name} of {}", room.code), after: 0, events };
        room.keeper.renew().await;
        let paged = room.keeper.connects(&room.code).await.whole_history(PAGE).await;
        let asked = stored::worker_history(broker, &room.code).await;
        audit.histories = vec![whole("the pages", paged), whole("the worker's history", asked)];
        self.pages += audit.excerpts.len();
        let after = room.after;
        for (name, format, report) in room.reports() {
            self.look_at_report(&name, format, &report);
            audit.acknowledged.extend(report.acknowledged);
            audit.unacknowledged.extend(report.given_up.into_iter().chain(report.open));
            audit.views.push(View { name, after, events: report.events });
        }
        self.verdict.add(audit.verdict());
    }

    fn look_at_report(&mut self, name: &str, format: Format, report: &Report) {
        self.opened += report.opened;
        self.unseen += report.unseen;
        self.longest_away = self.longest_away.max(report.longest_away);
        self.longest_to_ack = self.longest_to_ack.max(report.longest_to_ack);
        self.longest_to_seen = self.longest_to_seen.max(report.longest_to_seen);
        for code in &report.closes {
            *self.closes.entry(*code).or_default() += 1;
        }
        for (code, count) in &report.postponed {
            *self.postponed.entry(code.clone()).or_default() += count;
        }
        for reason in &report.resets {
            self.complaints.push(format!("{name} was told to start anew: {reason}"));
        }
        for refusal in &report.refusals {
            self.complaints.push(format!("{name} was refused for good: {refusal}"));
        }
        if format == Format::Page {
            // Ids rise in the order of writing.
            let places: Vec<_> = report.acknowledged.values().collect();
            self.reordered += places.windows(2).filter(|pair| pair[0] > pair[1]).count();
        }
    }

    /// What was acknowledged must have appeared live, but for what a server that was killed was just about to show.
    pub fn wants_all_seen_live(&mut self) {
        if self.unseen > UNSEEN_MAX {
            self.complaints.push(format!("{} sockets were left for want of a message", self.unseen));
        }
    }

    fn complain(&mut self) {
        for (code, count) in &self.postponed {
            if !EXPECTED.contains(&code.as_str()) {
                self.complaints.push(format!("{count} messages were refused as {code}"));
            }
        }
        for (name, memory) in &self.memory {
            if memory.peak_kib > MEMORY_KIB_MAX {
                self.complaints.push(format!("{name} took {} MiB", memory.peak_kib / 1024));
            }
        }
    }
}
