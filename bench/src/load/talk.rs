//! Members who publish at a fixed rate, whatever the server does.

use super::{crew::Crew, mark::Mark, tally::Window};
use crate::machine::{Reading, Usage};
use std::{
    io,
    time::{Duration, Instant},
};

/// Bytes of a message's body.
const BODY_BYTES: usize = 128;
/// Between the warm-up and what is measured, so that nothing of it is still on its way.
const PAUSE: Duration = Duration::from_secs(1);
/// When nothing has come for so long after the last publication, nothing will.
const SILENCE: Duration = Duration::from_secs(2);
/// Longest time without an acknowledgement of a single message.
const ACK_PATIENCE: Duration = Duration::from_secs(10);

/// Who publishes how much.
#[derive(Debug, Clone, Copy)]
pub struct Speech {
    /// Members of each room who publish in turn.
    pub publishers: usize,
    /// Messages a second into each room.
    pub rate: f64,
    pub warm: Duration,
    pub measured: Duration,
    /// How long stragglers are waited for; what comes later is lost.
    pub drain: Duration,
}

/// What came of it. The deliveries are in the crew's tally.
#[derive(Debug, Clone)]
pub struct Talked {
    /// From the first measured publication to the last delivery.
    pub usage: Usage,
    pub published: u64,
    /// Deliveries that each publication should have made, in all.
    pub expected: u64,
    /// How late a publication was at worst, in milliseconds.
    pub late_ms: f64,
}

impl Crew<'_> {
    /// Publishes for the warm-up, then for the measured time, and waits for what is on its way. What was counted before is forgotten.
    ///
    /// # Errors
    /// When the system can't wait for sockets.
    pub fn talk(&mut self, speech: &Speech) -> io::Result<Talked> {
        self.forget();
        self.tally.publishers = speech.publishers;
        self.publish(speech, self.now_ns(), speech.warm)?;
        self.hold(PAUSE)?;
        let start_ns = self.now_ns();
        self.tally.window = Some(Window { start_ns, end_ns: start_ns + nanos(speech.measured) });
        let before = Reading::take(&self.server.processes);
        let mut talked = self.publish(speech, start_ns, speech.measured)?;
        self.drain(&talked, speech.drain)?;
        talked.usage = Reading::take(&self.server.processes).since(&before);
        Ok(talked)
    }

    fn publish(&mut self, speech: &Speech, from_ns: u64, time: Duration) -> io::Result<Talked> {
        let present = self.present();
        let rooms = present.len();
        let members = self.members() / rooms;
        let between_ns = 1e9 / (speech.rate * rooms as f64);
        let mut talked = Talked { usage: Usage::default(), published: 0, expected: 0, late_ms: 0.0 };
        for turn in 0.. {
            let due_ns = from_ns + (turn as f64 * between_ns) as u64;
            if due_ns >= from_ns + nanos(time) {
                break;
            }
            // At least one look at the sockets between two publications, however late they are.
            loop {
                self.turn(Duration::from_nanos(due_ns.saturating_sub(self.now_ns())))?;
                if self.now_ns() >= due_ns {
                    break;
                }
            }
            let (room, nth) = (turn % rooms, turn / rooms);
            let (publisher, number) = (nth % speech.publishers, nth / speech.publishers);
            let sent_ns = self.now_ns();
            let mark = Mark { publisher: room * speech.publishers + publisher, number, sent_ns };
            if self.say(room * members + publisher, &mark.body(BODY_BYTES)) {
                talked.published += 1;
                talked.expected += present[room];
                talked.late_ms = talked.late_ms.max((sent_ns - due_ns) as f64 / 1e6);
            }
        }
        Ok(talked)
    }

    fn drain(&mut self, talked: &Talked, limit: Duration) -> io::Result<()> {
        let start = Instant::now();
        let mut last = (self.tally.arrived, start);
        while self.tally.received < talked.expected && start.elapsed() < limit {
            self.turn(Duration::from_millis(10))?;
            if self.tally.arrived != last.0 {
                last = (self.tally.arrived, Instant::now());
            } else if last.1.elapsed() > SILENCE {
                break;
            }
        }
        // For what comes twice.
        self.hold(Duration::from_millis(50))
    }

    /// One message of the first member, from handing it to the socket until its acknowledgement was read.
    ///
    /// # Errors
    /// When the system can't wait for sockets, or no acknowledgement comes.
    pub fn send_and_wait(&mut self, number: usize) -> io::Result<Duration> {
        let (before, refused) = (self.acknowledged, self.refused);
        let body = Mark { publisher: 0, number, sent_ns: self.now_ns() }.body(BODY_BYTES);
        let start = Instant::now();
        self.say(0, &body);
        while self.acknowledged == before {
            self.turn(Duration::from_secs(1))?;
            if start.elapsed() > ACK_PATIENCE || self.refused > refused {
                return Err(io::Error::other("a message was not acknowledged"));
            }
        }
        Ok(start.elapsed())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
