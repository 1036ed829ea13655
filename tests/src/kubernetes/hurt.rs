//! What is done to a release while people talk, one thing after the other.

use super::release::Release;
use crate::pages::{Pages, Place};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two things, so that people come to rest.
const CALM: Duration = Duration::from_secs(4);
/// Longest wait until an autoscaler has done what it should.
const SCALING: Duration = Duration::from_secs(300);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many gateways the values of the release allow.
const FEWEST: u64 = 2;
const MOST: u64 = 4;
/// Whose pods are killed, one of each.
const VICTIMS: [&str; 5] = ["gateway", "history-worker", "search-worker", "auth-service", "nats"];
/// Commands of the pages that are executed, and what they do.
const PROCEDURES: [(&str, &str); 2] = [
    ("new-disk", "one NATS server got an empty disk"),
    ("new-certificates", "the broker got certificates of a new authority"),
];
/// The node that is emptied.
const NODE: &str = "node2";

#[derive(Default)]
pub struct Hurt {
    pub count: usize,
    pub complaints: Vec<String>,
}

/// Does all of it; `next` is the tag of the images that the release is upgraded to, `members` how many sockets there are.
///
/// # Panics
/// When the release does not become ready again.
pub async fn everything(release: &Release, next: &str, members: usize, say: &mut impl FnMut(String)) -> Hurt {
    let mut hurt = Hurt::default();
    let mut done = |line: String| {
        say(line);
        hurt.count += 1;
    };
    sleep(CALM).await;
    let took = release.upgrade(&[&format!("image.tag={next}")]).await;
    done(format!("upgraded to {next} in {took} s, and tested: {}", release.test().await));
    sleep(CALM).await;
    let took = release.roll_back().await;
    done(format!("rolled back in {took} s, and tested: {}", release.test().await));
    for component in VICTIMS {
        sleep(CALM).await;
        let pods = release.pods(component).await;
        let victim = pods.first().expect("each component has a pod");
        let began = Instant::now();
        release.kill(victim).await;
        release.whole().await;
        done(format!("{victim} was killed, and all is ready after {} s", began.elapsed().as_secs()));
    }
    for (component, what) in [("nats", "every NATS server"), ("surrealdb", "the database")] {
        sleep(CALM).await;
        let began = Instant::now();
        release.restart(component).await;
        release.whole().await;
        done(format!("{what} was replaced in {} s", began.elapsed().as_secs()));
    }
    let pages = Pages::of(Place::Kubernetes);
    for (block, what) in PROCEDURES {
        sleep(CALM).await;
        let began = Instant::now();
        release.does(pages.block(block)).await;
        done(format!("{what}, as the page says, in {} s", began.elapsed().as_secs()));
    }
    assert!(pages.left().is_empty(), "nobody executes these commands of the pages: {:?}", pages.left());
    sleep(CALM).await;
    // So few sockets for each gateway that the most are needed, and then so many that the fewest are enough.
    for (sockets, wanted) in [(members as u64 / MOST - 1, MOST), (members as u64 * 10, FEWEST)] {
        let began = Instant::now();
        release.upgrade(&[&format!("gateway.autoscaling.sockets={sockets}")]).await;
        if !become_so_many(release, wanted).await {
            hurt.complaints
                .push(format!("{SCALING:?} after its target changed there are not {wanted} gateways"));
        }
        release.whole().await;
        done(format!(
            "the autoscaler was told {sockets} sockets a gateway, and has {} after {} s",
            release.ready("gateway").await,
            began.elapsed().as_secs()
        ));
    }
    sleep(CALM).await;
    let began = Instant::now();
    release.drain(NODE).await;
    done(format!("{NODE} was drained in {} s", began.elapsed().as_secs()));
    sleep(CALM).await;
    hurt
}

async fn become_so_many(release: &Release, gateways: u64) -> bool {
    let deadline = Instant::now() + SCALING;
    while release.ready("gateway").await != gateways {
        if Instant::now() > deadline {
            return false;
        }
        sleep(LOOK_EVERY).await;
    }
    true
}
