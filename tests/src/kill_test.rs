//! The kill test: messages through sockets while the program, then only its broker, is killed with -9 again and again.
//! Afterwards what was acknowledged, what the history holds and what each socket showed are compared.

use crate::audit::{Audit, Verdict, View};
use crate::backchat::Backchat;
use crate::eventually::eventually;
use crate::heard::Seen;
use crate::person::Person;
use crate::random::Random;
use crate::steady::{Report, Steady};
use crate::stored::worker_history;
use std::fmt;
use std::time::Duration;
use tokio::time::sleep;

/// Pause between two messages: 2,000 of them and ten kills make about two minutes.
const PAUSE: Duration = Duration::from_millis(20);
/// One message of so many is given up, instead of sent again, when its socket breaks.
const SENT_ONCE_EACH: usize = 7;
/// Longest wait after the last kill until everybody has seen everything.
const SETTLE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    pub messages: usize,
    /// Kills of the program, and as many of the broker alone.
    pub kills: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub plan: Plan,
    /// Against the history that the sockets page through.
    pub verdict: Verdict,
    /// Against what the history worker answers when it is asked alone.
    pub worker_verdict: Verdict,
    /// Sockets that each member opened, and the resets each was told.
    pub opened: Vec<usize>,
    pub resets: usize,
    pub refusals: Vec<String>,
    pub took: Duration,
}

impl Outcome {
    pub fn is_clean(&self) -> bool {
        self.verdict.is_clean()
            && self.worker_verdict.is_clean()
            && self.resets == 0
            && self.refusals.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, messages, kills } = self.plan;
        writeln!(
            f,
            "{messages} messages, {kills} kills of the program, {kills} of the broker alone, seed {seed}"
        )?;
        writeln!(f, "history through sockets: {}", self.verdict)?;
        writeln!(f, "history worker alone:    {}", self.worker_verdict)?;
        writeln!(f, "sockets opened by each member: {:?}, resets: {}", self.opened, self.resets)?;
        for refusal in self.refusals.iter().take(5) {
            writeln!(f, "refused without a time to try again: {refusal}")?;
        }
        let word = if self.is_clean() { "clean" } else { "NOT CLEAN" };
        write!(f, "{word}, in {} s", self.took.as_secs())
    }
}

/// Runs it to its end; `say` gets a line now and then.
///
/// # Panics
/// When the program does not come back, or not everything arrives in time.
pub async fn run(plan: Plan, say: impl Fn(String)) -> Outcome {
    let began = tokio::time::Instant::now();
    let mut backchat = Backchat::without_rate_limit().await;
    let ann = Person::arrives(&backchat.address(), "Ann").await;
    let ben = Person::arrives(&backchat.address(), "Ben").await;
    let room = ann.creates("Kill test").await;
    ben.joins(&room).await;
    let view = ben.opens(&room).await;
    let members =
        [Steady::member(ann.clone(), &room, &view.cursor), Steady::member(ben.clone(), &room, &view.cursor)];
    let mut random = Random::seeded(plan.seed);
    let sending = send_all(&members, plan.messages);
    let killing = kill_all(&mut backchat, plan, &mut random, &say);
    tokio::join!(sending, killing);
    backchat.ready().await;
    say("everything is sent; waiting until everybody has seen it".into());
    let reports = settle(&members).await;
    let history = ann.connects(&room).await.whole_history(100).await;
    let from_worker = worker_history(&backchat.broker().await, &room).await;
    let judge = |history: Vec<Seen>| audit(&members, &reports, view.head, history).verdict();
    Outcome {
        plan,
        verdict: judge(history),
        worker_verdict: judge(from_worker),
        opened: reports.iter().map(|report| report.opened).collect(),
        resets: reports.iter().map(|report| report.resets.len()).sum(),
        refusals: reports.iter().flat_map(|report| report.refusals.clone()).collect(),
        took: began.elapsed(),
    }
}

async fn send_all(members: &[Steady; 2], messages: usize) {
    for number in 0..messages {
        let member = &members[number % 2];
        let body = format!("message {number}");
        if number % SENT_ONCE_EACH == 0 {
            member.send_once(&body).await;
        } else {
            member.send(&body).await;
        }
        sleep(PAUSE).await;
    }
}

async fn kill_all(backchat: &mut Backchat, plan: Plan, random: &mut Random, say: &impl Fn(String)) {
    for kill in 1..=plan.kills {
        sleep(Duration::from_millis(random.between(300, 3_000))).await;
        backchat.kill();
        say(format!("kill {kill} of {}: the program", plan.kills));
        sleep(Duration::from_millis(random.between(0, 800))).await;
        backchat.start_again().await;
    }
    for kill in 1..=plan.kills {
        sleep(Duration::from_millis(random.between(300, 3_000))).await;
        let killed = backchat.kill_broker();
        say(format!("kill {kill} of {}: the broker", plan.kills));
        let backchat = &*backchat;
        eventually("the broker is started again", Duration::from_secs(60), || async move {
            backchat.broker_id().filter(|id| *id != killed)
        })
        .await;
    }
}

/// Waits until nothing is open and both have seen the same last event.
async fn settle(members: &[Steady; 2]) -> [Report; 2] {
    eventually("everything is acknowledged and seen by both", SETTLE, || async {
        let reports = [members[0].report(), members[1].report()];
        let nothing_open = reports.iter().all(|report| report.open.is_empty());
        let last = |report: &Report| report.events.last().map_or(0, |event| event.seq);
        let acknowledged = reports.iter().flat_map(|report| report.acknowledged.values()).max().copied();
        let seen = last(&reports[0]) == last(&reports[1])
            && acknowledged.is_some_and(|seq| seq <= last(&reports[0]));
        (nothing_open && seen).then_some(reports)
    })
    .await
}

fn audit(members: &[Steady], reports: &[Report], after: u64, history: Vec<Seen>) -> Audit {
    let mut audit = Audit { history, ..Audit::default() };
    for (member, report) in members.iter().zip(reports) {
        audit.acknowledged.extend(&report.acknowledged);
        audit.unacknowledged.extend(&report.given_up);
        audit.views.push(View { name: member.name.clone(), after, events: report.events.clone() });
    }
    audit
}
