//! Whether two clocks agree. Tokens end by the clocks of those who check them, and the age of a message's id is told by the
//! broker's.

use protocol::Timestamp;

use super::finding::Finding;

/// Differences of clocks, in milliseconds, above which a person should look, and above which tokens of sessions end too soon.
const WARNING_MS: i64 = 1_000;
const FAULT_MS: i64 = 30_000;

const REMEDY: &str = "let both machines follow the time: timedatectl set-ntp true";

/// Compares the clock of somebody who was asked between two moments of ours.
pub fn compared(
    about: &'static str,
    whose: &str,
    theirs: Timestamp,
    asked: (Timestamp, Timestamp),
) -> Finding {
    let (before, after) = (asked.0.as_millis(), asked.1.as_millis());
    let theirs = theirs.as_millis();
    // What may have passed on the way is no difference.
    let off = if theirs < before { before - theirs } else { (theirs - after).max(0) };
    let way = if theirs < before { "behind" } else { "ahead of" };
    match off {
        ..=WARNING_MS => Finding::good(about, format!("the clock of {whose} agrees with this machine's")),
        _ => {
            let found = format!("the clock of {whose} is {:.1} s {way} this machine's", off as f64 / 1_000.0);
            if off > FAULT_MS {
                Finding::fault(about, found, REMEDY)
            } else {
                Finding::warning(about, found, REMEDY)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Kind;
    use super::*;

    #[test]
    fn a_second_is_tolerated_and_half_a_minute_is_a_fault() {
        let at = Timestamp::from_millis;
        let compared = |theirs| compared("broker", "the broker", at(theirs), (at(100_000), at(100_200)));
        for (theirs, kind) in [
            (99_000, Kind::Good),
            (100_100, Kind::Good),
            (101_200, Kind::Good),
            (98_999, Kind::Warning),
            (101_201, Kind::Warning),
            (69_999, Kind::Fault),
            (130_201, Kind::Fault),
        ] {
            assert_eq!(compared(theirs).kind, kind, "{theirs}");
        }
        assert_eq!(compared(95_000).found, "the clock of the broker is 5.0 s behind this machine's");
    }
}
