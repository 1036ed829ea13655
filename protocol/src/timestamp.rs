//! Moments, in whole milliseconds since 1970 in UTC.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, ops::RangeInclusive};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. On every wire it is RFC 3339 text with
/// milliseconds, such as `2026-11-25T09:05:49.120Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The moments that RFC 3339 has a text for: those of the years 0 to 9999 in UTC.
const WITH_A_TEXT_MS: RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// The text is no RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotATime;

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time of RFC 3339")
    }
}
impl std::error::Error for NotATime {}

impl Timestamp {
    /// The moment that lies `ms` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The machine's wall clock. The one place that reads it: the time of an event is the broker's,
    /// and only expiries of tokens and sessions and what operators are shown ask for "now".
    #[expect(clippy::disallowed_methods, reason = "the one home of the wall clock")]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }

    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// How long ago it was, as an operator is told: in the largest unit of which it is one at least.
    pub const fn age(self, now: Self) -> Age {
        Age { seconds: now.0.saturating_sub(self.0) / 1_000 }
    }

    /// Reads RFC 3339 text; digits past the millisecond are cut off.
    ///
    /// # Errors
    /// [`NotATime`] for anything else, and for what is in UTC before the year 0 or after 9999.
    pub fn parse(text: &str) -> Result<Self, NotATime> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NotATime)?;
        let ms = at.unix_timestamp_nanos().div_euclid(1_000_000);
        let ms = i64::try_from(ms).map_err(|_| NotATime)?;
        if WITH_A_TEXT_MS.contains(&ms) { Ok(Self(ms)) } else { Err(NotATime) }
    }
}

/// How long ago something was. A clock that is behind shows nothing of the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    seconds: i64,
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds.max(0) {
            seconds @ ..60 => write!(f, "{seconds} s"),
            seconds @ ..3_600 => write!(f, "{} min", seconds / 60),
            seconds @ ..172_800 => write!(f, "{} h", seconds / 3_600),
            seconds => write!(f, "{} d", seconds / 86_400),
        }
    }
}

/// A moment that has no text is shown as the nearest one that has.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.clamp(*WITH_A_TEXT_MS.start(), *WITH_A_TEXT_MS.end());
        let nanos = i128::from(ms) * 1_000_000;
        let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_the_largest_unit_that_it_has() {
        let at = Timestamp::from_millis(0);
        for (seconds, text) in
            [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "59 min"), (7_200, "2 h"), (172_800, "2 d")]
        {
            assert_eq!(at.age(at.plus_seconds(seconds)).to_string(), text);
        }
    }

    #[test]
    fn a_time_survives_its_text() {
        let at = Timestamp::parse("2026-11-25T09:05:49.123456789Z").unwrap();
        assert_eq!(at.to_string(), "2026-11-25T09:05:49.123Z");
        assert_eq!(Timestamp::parse(&at.to_string()), Ok(at));
    }

    #[test]
    fn what_is_no_time_is_an_error() {
        assert_eq!(Timestamp::parse("yesterday"), Err(NotATime));
    }

    #[test]
    fn whatever_is_read_has_a_text() {
        for edge in ["0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"] {
            assert_eq!(Timestamp::parse(edge).unwrap().to_string(), edge);
        }
        for beyond in ["0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"] {
            assert_eq!(Timestamp::parse(beyond), Err(NotATime));
        }
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(i64::MIN).to_string(), "0000-01-01T00:00:00.000Z");
    }
}
