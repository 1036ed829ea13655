//! Somebody who loads a page and logs in through the edge, again and again, while everything is being replaced.

use crate::http::{Answer, Ask};
use crate::person::{PASSWORD, Person};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between one visit and the next, and before the same one is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest time until a visit succeeds: the database that knows passwords, and the edge itself, are away for a moment.
const VISIT: Duration = Duration::from_secs(15);
/// What is answered for a piece that is away for a moment.
const AWAY: [u16; 3] = [502, 503, 504];

/// What came of it.
#[derive(Debug, Default)]
pub struct Visits {
    pub count: usize,
    /// The longest time until a visit succeeded.
    pub longest: Duration,
    pub complaints: Vec<String>,
}

/// Why a visit came to nothing.
struct Failed {
    why: String,
    passes: bool,
}

/// Visits until it is over, once at least.
///
/// # Panics
/// When the visitor can't register.
pub async fn visits(address: &str, is_over: impl Fn() -> bool) -> Visits {
    let person = Person::arrives(address, "Visitor").await;
    let room = person.creates("Visited").await;
    let mut visits = Visits::default();
    loop {
        let took = visits.visit(&person, &room).await;
        visits.longest = visits.longest.max(took);
        visits.count += 1;
        if is_over() {
            return visits;
        }
        sleep(PAUSE).await;
    }
}

impl Visits {
    /// Gives how long it took until page and login came about.
    async fn visit(&mut self, person: &Person, room: &str) -> Duration {
        let began = Instant::now();
        while let Err(failed) = once(person, room).await {
            let lasts = began.elapsed() > VISIT;
            if lasts || !failed.passes {
                self.complaints.push(format!("a visitor after {:?}: {}", began.elapsed(), failed.why));
            }
            if lasts {
                break;
            }
            sleep(PAUSE).await;
        }
        began.elapsed()
    }
}

async fn once(person: &Person, room: &str) -> Result<(), Failed> {
    let path = format!("/room/{room}/");
    is_answered(&path, 200, person.tries_to_send(Ask::get(&path), &path).await)?;
    let path = "/auth/login/";
    let fields = [("name", person.name.as_str()), ("password", PASSWORD), ("next", "/")];
    let browser = Person::stranger(&person.address);
    is_answered(path, 303, browser.tries_to_send(Ask::post(path, &fields), path).await)
}

fn is_answered(path: &str, wanted: u16, answer: Result<Answer, String>) -> Result<(), Failed> {
    match answer {
        Ok(answer) if answer.status == wanted => Ok(()),
        Ok(Answer { status, .. }) => {
            Err(Failed { why: format!("{path}: {status}"), passes: AWAY.contains(&status) })
        }
        Err(why) => Err(Failed { why: format!("{path}: {why}"), passes: true }),
    }
}
