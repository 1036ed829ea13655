//! A new gateway gets only sockets that come anew, so it helps those that are there only when they send it some. A gateway that is
//! above a target, and fuller than the others are on average, has a few sockets come again elsewhere, second by second.

use crate::{config::Targets, presence::gateways::Load, state::Gateway};
use protocol::frame::Close;
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);
/// Above an equal share by less than this part of it, a gateway keeps what it has: who is sent away may come back to it, and
/// what others said of themselves is two seconds old.
const TOLERANCE: u64 = 10;
/// What is [full](fullness): as much as a target.
const FULL: u64 = 1_000_000;
/// Sends sockets elsewhere until the gateway ends, where there is a target.
pub async fn shed_sockets(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let limits = gateway.config.sockets;
    if limits.targets == Targets::NONE {
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
        let Some(mine) = gateway.load() else { continue };
        let surplus = surplus(mine, limits.targets, &gateway.gateways.loads());
        let lines = gateway.sessions.longest_here(surplus.min(limits.shed_per_second) as usize);
        lines.iter().for_each(|line| line.dismiss(Close::Draining));
        gateway.signals.shed(lines.len());
    }
}

/// How many of my sockets are above the target, and above an equal share of what this gateway and the others have to do.
fn surplus(mine: Load, targets: Targets, others: &[Load]) -> u32 {
    // Those that do not say what they send are taken to send as much to each socket.
    let sent_by = |other: &Load| {
        other.sent_bytes_per_second.or_else(|| {
            let sent = mine.sent_bytes_per_second?.saturating_mul(other.sockets.into());
            Some(sent / u64::from(mine.sockets.max(1)))
        })
    };
    let as_said = |other: &Load| Load { sent_bytes_per_second: sent_by(other), ..*other };
    let my_fullness = fullness(mine, targets);
    let all: u64 = others.iter().map(|other| fullness(as_said(other), targets)).sum::<u64>() + my_fullness;
    let share = all.div_ceil(others.len() as u64 + 1);
    let kept = FULL.max(share + share / TOLERANCE);
    let given = u128::from(mine.sockets) * u128::from(my_fullness.saturating_sub(kept));
    given.checked_div(my_fullness.into()).and_then(|given| u32::try_from(given).ok()).unwrap_or(0)
}

/// How full a gateway is, in millionths of the target to which it is nearest.
fn fullness(load: Load, targets: Targets) -> u64 {
    let of = |amount: u64, target: u64| {
        let millionths = (u128::from(amount) * u128::from(FULL)).checked_div(target.into()).unwrap_or(0);
        // So that the sum over all gateways is a number too.
        u64::try_from(millionths).unwrap_or(u64::MAX).min(u64::MAX >> 16)
    };
    let by_sent = of(load.sent_bytes_per_second.unwrap_or(0), targets.sent_bytes_per_second);
    of(load.sockets.into(), targets.sockets.into()).max(by_sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MB: u64 = 1_000_000;
    const BOTH: Targets = Targets { sockets: 10_000, sent_bytes_per_second: 10 * MB };

    fn load(sockets: u32, sent: impl Into<Option<u64>>) -> Load {
        Load { sockets, sent_bytes_per_second: sent.into() }
    }

    fn by_sockets(mine: u32, target: u32, others: &[u32]) -> u32 {
        let others: Vec<_> = others.iter().map(|sockets| load(*sockets, None)).collect();
        surplus(load(mine, 7 * MB), Targets { sockets: target, sent_bytes_per_second: 0 }, &others)
    }

    #[test]
    fn a_gateway_above_its_target_gives_what_others_lack() {
        assert_eq!(by_sockets(1_000, 500, &[0]), 450, "down to an equal share and a tenth");
        assert_eq!(by_sockets(1_000, 800, &[0]), 200, "down to the target, and no further");
    }

    #[test]
    fn nobody_is_sent_from_one_full_gateway_to_another() {
        assert_eq!(by_sockets(1_000, 500, &[]), 0);
        assert_eq!(by_sockets(1_000, 500, &[950, 1_020]), 0);
    }

    #[test]
    fn few_sockets_that_take_much_are_given_too() {
        let busy = load(4_000, 30 * MB);
        let new = load(0, None);
        assert_eq!(surplus(busy, BOTH, &[busy, new, new, new, new]), 2_533, "to an equal share and a tenth");
        assert_eq!(surplus(busy, BOTH, &[busy]), 0, "nobody has room");
        assert_eq!(surplus(load(4_000, 9 * MB), BOTH, &[new]), 0, "it is below both targets");
        let only_sockets = Targets { sent_bytes_per_second: 0, ..BOTH };
        assert_eq!(surplus(busy, only_sockets, &[new]), 0, "what is sent has no target");
    }

    #[test]
    fn a_gateway_that_sends_little_but_has_sockets_enough_has_no_room() {
        assert_eq!(surplus(load(4_000, 15 * MB), BOTH, &[load(15_000, MB)]), 0);
        assert_eq!(surplus(load(15_000, MB), BOTH, &[load(4_000, 15 * MB)]), 0);
    }

    #[test]
    fn those_that_do_not_say_what_they_send_are_taken_for_alike() {
        assert_eq!(surplus(load(4_000, 30 * MB), BOTH, &[load(4_000, None)]), 0);
    }

    proptest! {
        #[test]
        fn what_is_left_is_never_below_the_target_or_the_share(
            mine in 0..200_000_u32, target in 1..200_000_u32, others in prop::collection::vec(0..200_000_u32, 0..20),
        ) {
            let left = mine - by_sockets(mine, target, &others);
            let share = (u64::from(mine) + others.iter().map(|other| u64::from(*other)).sum::<u64>()) / (others.len() as u64 + 1);
            prop_assert!(left == mine || (left >= target && u64::from(left) >= share));
        }
    }
}
