//! Counting deliveries, each one exactly.

use super::mark::Mark;
use crate::statistics::percentile;

/// The stretch of time that counts, in nanoseconds since the load generator's start.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub start_ns: u64,
    pub end_ns: u64,
}

/// What one member has seen of what was published in the window: a bit for each message, the last of each publisher.
#[derive(Debug, Default)]
pub struct Seen {
    bits: Vec<u64>,
    last: Vec<usize>,
}

/// What all members together have seen.
#[derive(Debug, Default)]
pub struct Tally {
    /// `None`: nothing counts now.
    pub window: Option<Window>,
    /// Publishers in each room.
    pub publishers: usize,
    /// Deliveries since the window's start, whenever they were published, and of these the ones before its end.
    pub arrived: u64,
    pub arrived_in_window: u64,
    /// Bytes of their frames, whenever they were published.
    pub bytes: u64,
    /// First deliveries of what was published in the window.
    pub received: u64,
    pub duplicated: u64,
    /// A member saw a publisher's later message first.
    pub reordered: u64,
    /// A message of another room.
    pub misrouted: u64,
    /// Times from handing a message to its socket until a member read it, in microseconds.
    latencies_us: Vec<u32>,
}

impl Tally {
    pub fn count(&mut self, seen: &mut Seen, room: usize, mark: Mark, now_ns: u64) {
        let Some(window) = self.window.filter(|window| now_ns >= window.start_ns) else { return };
        self.arrived += 1;
        self.arrived_in_window += u64::from(now_ns < window.end_ns);
        if mark.sent_ns < window.start_ns {
            return;
        }
        if mark.publisher / self.publishers != room {
            self.misrouted += 1;
            return;
        }
        let publisher = mark.publisher % self.publishers;
        match seen.note(publisher, mark.number, self.publishers) {
            Arrival::Again => self.duplicated += 1,
            arrival => {
                self.received += 1;
                self.reordered += u64::from(arrival == Arrival::Late);
                let latency_us = now_ns.saturating_sub(mark.sent_ns) / 1_000;
                self.latencies_us.push(u32::try_from(latency_us).unwrap_or(u32::MAX));
            }
        }
    }

    /// Counts the bytes of a delivery.
    pub fn weigh(&mut self, bytes: usize, now_ns: u64) {
        if self.window.is_some_and(|window| now_ns >= window.start_ns) {
            self.bytes += bytes as u64;
        }
    }

    /// The latencies' percentiles at these shares, in milliseconds.
    pub fn latencies_ms<const N: usize>(&mut self, shares: [f64; N]) -> [f64; N] {
        self.latencies_us.sort_unstable();
        shares.map(|share| f64::from(percentile(&self.latencies_us, share)) / 1_000.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    InOrder,
    Late,
    Again,
}

impl Seen {
    fn note(&mut self, publisher: usize, number: usize, publishers: usize) -> Arrival {
        let place = number * publishers + publisher;
        let (word, bit) = (place / 64, 1_u64 << (place % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if self.bits[word] & bit != 0 {
            return Arrival::Again;
        }
        self.bits[word] |= bit;
        self.last.resize(publishers, 0);
        if number < self.last[publisher] {
            return Arrival::Late;
        }
        self.last[publisher] = number;
        Arrival::InOrder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delivery_is_counted_as_what_it_is() {
        let mut tally = Tally {
            window: Some(Window { start_ns: 1_000, end_ns: 9_000 }),
            publishers: 2,
            ..Tally::default()
        };
        let mut seen = Seen::default();
        let mut arrive = |publisher, number, sent_ns, now_ns| {
            tally.count(&mut seen, 1, Mark { publisher, number, sent_ns }, now_ns);
        };
        arrive(2, 0, 0, 500);
        arrive(2, 1, 900, 2_000);
        arrive(2, 2, 2_000, 4_000);
        arrive(3, 5, 2_000, 4_000);
        arrive(3, 4, 2_000, 10_000);
        arrive(3, 4, 2_000, 10_000);
        arrive(0, 9, 2_000, 10_000);
        assert_eq!((tally.arrived, tally.arrived_in_window, tally.received), (6, 3, 3));
        assert_eq!((tally.duplicated, tally.reordered, tally.misrouted), (1, 1, 1));
        assert_eq!(tally.latencies_ms([0.5, 1.0]), [0.002, 0.008]);
    }
}
