//! The audit under faults, short.

use std::time::Duration;
use tests::faults::{Plan, Size, run};
use tests::heavy;
use tests::random::Random;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_whatever_is_hurt() {
    let _turn = heavy::turn().await;
    let plan = Plan {
        seed: Random::any_seed(),
        lasts: Duration::from_secs(45),
        size: Size { rooms: 3, people_in_room: 10, per_second: 15 },
    };
    println!("again: {}", plan.command());
    let outcome = run(plan, |line| println!("{line}")).await;
    assert!(outcome.is_clean(), "{outcome}");
    assert!(outcome.verdict.acknowledged > 300, "{outcome}");
}
