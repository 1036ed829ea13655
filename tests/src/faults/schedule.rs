//! What is hurt, when and for how long: decided by a seed alone, so that a run can be done again.

use crate::random::Random;
use std::fmt;
use std::time::Duration;

/// One fault, which begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and started again.
    Kill(Piece),
    /// Stopped where it stands, and continued.
    Pause(Piece),
    /// A gateway asked to stop, as a roll-out does, and started again.
    Roll(usize),
    Network(Line, Trouble),
    /// The log takes no more.
    LogFull,
    /// The disk of a NATS server is full; when there is room again, the server is started anew.
    DiskFull(Role),
}

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    Gateway(usize),
    Worker,
    Auth,
    Server(Role),
}

/// A NATS server, by what it is when a fault begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It leads the log.
    Leader,
    /// The one so many places behind the leader: 1 or 2.
    Follower(usize),
}

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Between this gateway and everybody who comes to it.
    ToGateway(usize),
    /// Between this gateway and every NATS server.
    ToBroker(usize),
}

/// What a network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Every connection is closed; new ones are let through.
    Cut,
    /// Every connection is closed, and every new one.
    CutOff,
    /// Every byte is dropped, and no connection ends.
    BlackHole,
    /// So many milliseconds more each way.
    Slow(u64),
}

/// Faults that begin together, after a time of calm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strike {
    pub calm: Duration,
    /// One or two, with how long each lasts.
    pub faults: Vec<(Fault, Duration)>,
}

/// What a fault concerns: no two of a strike concern the same.
#[derive(PartialEq, Eq)]
enum Concern {
    Gateway(usize),
    Worker,
    Auth,
    Broker,
}

/// No fault takes more than this part of a run.
const PART_MAX: u32 = 8;

/// Strikes that fill about `total`, with `gateways` gateways to hurt. Kinds of faults are dealt like cards: none comes again
/// before all have come.
pub fn schedule(random: &mut Random, total: Duration, gateways: usize) -> Vec<Strike> {
    let mut strikes = Vec::new();
    let mut deck = Vec::new();
    let mut planned = Duration::ZERO;
    loop {
        let calm = Duration::from_millis(random.between(1_500, 5_000)).min(total / PART_MAX);
        let mut faults = vec![deal(random, &mut deck, gateways)];
        if random.between(0, 5) < 2 {
            let second = deal(random, &mut deck, gateways);
            if second.0.concern() == faults[0].0.concern() {
                // It comes alone, and later.
                deck.push(second.0);
            } else {
                faults.push(second);
            }
        }
        faults.iter_mut().for_each(|(_, lasts)| *lasts = (*lasts).min(total / PART_MAX));
        planned += calm + faults.iter().map(|(_, lasts)| *lasts).max().unwrap_or_default();
        if planned > total {
            return strikes;
        }
        strikes.push(Strike { calm, faults });
    }
}

fn deal(random: &mut Random, deck: &mut Vec<Fault>, gateways: usize) -> (Fault, Duration) {
    if deck.is_empty() {
        *deck = all_kinds(random, gateways);
    }
    let fault = deck.swap_remove(random.index(deck.len()));
    let (from, to) = fault.lasts_ms();
    (fault, Duration::from_millis(random.between(from, to)))
}

fn all_kinds(random: &mut Random, gateways: usize) -> Vec<Fault> {
    let mut gateway = || random.index(gateways);
    let mut kinds = vec![
        Fault::Kill(Piece::Gateway(gateway())),
        Fault::Pause(Piece::Gateway(gateway())),
        Fault::Roll(gateway()),
        Fault::Network(Line::ToGateway(gateway()), Trouble::Cut),
        Fault::Network(Line::ToGateway(gateway()), Trouble::CutOff),
        Fault::Network(Line::ToGateway(gateway()), Trouble::BlackHole),
        Fault::Network(Line::ToBroker(gateway()), Trouble::Cut),
        Fault::Network(Line::ToBroker(gateway()), Trouble::CutOff),
        Fault::Network(Line::ToBroker(gateway()), Trouble::BlackHole),
    ];
    let slow = [Line::ToGateway(gateway()), Line::ToBroker(gateway())];
    kinds.extend(slow.map(|line| Fault::Network(line, Trouble::Slow(random.between(50, 1_000)))));
    let mut follower = || Role::Follower(1 + random.index(2));
    kinds.extend([
        Fault::Kill(Piece::Server(Role::Leader)),
        Fault::Kill(Piece::Server(follower())),
        Fault::Pause(Piece::Server(Role::Leader)),
        Fault::Pause(Piece::Server(follower())),
        Fault::Kill(Piece::Worker),
        Fault::Pause(Piece::Worker),
        Fault::Kill(Piece::Auth),
        Fault::LogFull,
        Fault::DiskFull(Role::Leader),
        Fault::DiskFull(follower()),
    ]);
    kinds
}

impl Fault {
    pub fn is_of_the_broker(self) -> bool {
        self.concern() == Concern::Broker
    }

    fn concern(self) -> Concern {
        match self {
            Self::Roll(gateway) | Self::Network(Line::ToGateway(gateway) | Line::ToBroker(gateway), _) => {
                Concern::Gateway(gateway)
            }
            Self::LogFull | Self::DiskFull(_) => Concern::Broker,
            Self::Kill(piece) | Self::Pause(piece) => match piece {
                Piece::Gateway(gateway) => Concern::Gateway(gateway),
                Piece::Worker => Concern::Worker,
                Piece::Auth => Concern::Auth,
                Piece::Server(_) => Concern::Broker,
            },
        }
    }

    /// How long it lasts, at least and at most.
    const fn lasts_ms(self) -> (u64, u64) {
        match self {
            Self::Kill(_) => (500, 6_000),
            Self::Pause(_) => (2_000, 20_000),
            Self::Roll(_) | Self::Network(_, Trouble::Cut) => (10, 20),
            Self::Network(_, Trouble::CutOff | Trouble::BlackHole) => (1_000, 12_000),
            Self::Network(_, Trouble::Slow(_)) => (2_000, 10_000),
            Self::LogFull | Self::DiskFull(_) => (2_000, 6_000),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(piece) => write!(f, "{piece} is killed"),
            Self::Pause(piece) => write!(f, "{piece} is paused"),
            Self::Roll(gateway) => write!(f, "gateway {gateway} is replaced"),
            Self::Network(line, trouble) => write!(f, "{trouble} {line}"),
            Self::LogFull => f.write_str("the log is full"),
            Self::DiskFull(role) => write!(f, "the disk of {role} is full"),
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(gateway) => write!(f, "gateway {gateway}"),
            Self::Worker => f.write_str("the history worker"),
            Self::Auth => f.write_str("the auth service"),
            Self::Server(role) => role.fmt(f),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "the log's leader",
            Self::Follower(_) => "a follower",
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToGateway(gateway) => write!(f, "between clients and gateway {gateway}"),
            Self::ToBroker(gateway) => write!(f, "between gateway {gateway} and the broker"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("a cut"),
            Self::CutOff => f.write_str("no way"),
            Self::BlackHole => f.write_str("a black hole"),
            Self::Slow(ms) => write!(f, "{ms} ms more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything() {
        let of = |seed| schedule(&mut Random::seeded(seed), Duration::from_secs(600), 3);
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn strikes_fill_the_time_and_no_two_faults_of_one_concern_the_same() {
        for seed in 0..50 {
            let strikes = schedule(&mut Random::seeded(seed), Duration::from_secs(900), 3);
            let longest = |strike: &Strike| strike.faults.iter().map(|(_, lasts)| *lasts).max();
            let planned: Duration =
                strikes.iter().map(|strike| strike.calm + longest(strike).unwrap_or_default()).sum();
            assert!((840..=900).contains(&planned.as_secs()), "{planned:?}");
            assert!(strikes.iter().any(|strike| strike.faults.len() == 2));
            for strike in &strikes {
                if let [(first, _), (second, _)] = strike.faults[..] {
                    assert!(first.concern() != second.concern(), "{first} and {second}");
                }
            }
        }
    }
}
