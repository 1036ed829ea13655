//! A new gateway gets only sockets that come anew, so it helps those that are there only when they send it some. A gateway with
//! more sockets than it should have, and more than its share of all, has a few come again elsewhere, second by second.

use crate::state::Gateway;
use protocol::frame::Close;
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);
/// Above an equal share by less than this part of it, a gateway keeps what it has: who is sent away may come back to it, and
/// what others said of themselves is two seconds old.
const TOLERANCE: u64 = 10;

/// Sends sockets elsewhere until the gateway ends, where there is a target.
pub async fn shed_sockets(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let limits = gateway.config.sockets;
    if limits.target == 0 {
        return;
    }
    let mut second = interval(EVERY);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = second.tick() => {}
        }
        // A gateway that stops sends all of them away anyway.
        let Some(mine) = gateway.sessions.sockets() else { continue };
        let surplus = surplus(mine, limits.target, &gateway.gateways.sockets());
        let lines = gateway.sessions.longest_here(surplus.min(limits.shed_per_second) as usize);
        lines.iter().for_each(|line| line.dismiss(Close::Draining));
        gateway.signals.shed(lines.len());
    }
}

/// How many of `mine` are above the target, and above an equal share of all that this gateway and the others have.
fn surplus(mine: u32, target: u32, others: &[u32]) -> u32 {
    let all: u64 = others.iter().chain([&mine]).map(|sockets| u64::from(*sockets)).sum();
    let share = all.div_ceil(others.len() as u64 + 1);
    let tolerated = u32::try_from(share + share / TOLERANCE).unwrap_or(u32::MAX);
    mine.saturating_sub(target.max(tolerated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gateway_above_its_target_gives_what_others_lack() {
        assert_eq!(surplus(1_000, 500, &[0]), 450, "down to an equal share and a tenth");
        assert_eq!(surplus(1_000, 800, &[0]), 200, "down to the target, and no further");
    }

    #[test]
    fn nobody_is_sent_from_one_full_gateway_to_another() {
        assert_eq!(surplus(1_000, 500, &[]), 0);
        assert_eq!(surplus(1_000, 500, &[950, 1_020]), 0);
    }

    proptest! {
        #[test]
        fn what_is_left_is_never_below_the_target_or_the_share(
            mine in 0..200_000_u32, target in 1..200_000_u32, others in prop::collection::vec(0..200_000_u32, 0..20),
        ) {
            let left = mine - surplus(mine, target, &others);
            let share = (u64::from(mine) + others.iter().map(|other| u64::from(*other)).sum::<u64>()) / (others.len() as u64 + 1);
            prop_assert!(left == mine || (left >= target && u64::from(left) >= share));
        }
    }
}
