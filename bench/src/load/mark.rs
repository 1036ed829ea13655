//! What a published body says of itself, `@@<publisher>:<number>:<nanoseconds>@@`, and what a receiver makes of it.

use memchr::memmem;

/// A body's mark. Publishers are numbered over all rooms, a publisher's messages from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub publisher: usize,
    pub number: usize,
    /// When it was handed to the socket, in nanoseconds since the load generator's start.
    pub sent_ns: u64,
}

impl Mark {
    /// The mark as a body of `bytes` bytes (or as long as it must be).
    pub fn body(self, bytes: usize) -> String {
        let mut body = format!("@@{}:{}:{}@@", self.publisher, self.number, self.sent_ns);
        let filler = (b'a'..=b'z').cycle().map(char::from).take(bytes.saturating_sub(body.len()));
        body.extend(filler);
        body
    }

    /// The mark in a payload of any format; `None` when there is none.
    pub fn find(payload: &[u8]) -> Option<Self> {
        let start = memmem::find(payload, b"@@")?;
        let mut numbers = Numbers(&payload[start + 2..]);
        Some(Self {
            publisher: numbers.next(b':')? as usize,
            number: numbers.next(b':')? as usize,
            sent_ns: numbers.next(b'@')?,
        })
    }
}

struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    /// The number that ends with `end`.
    fn next(&mut self, end: u8) -> Option<u64> {
        let mut number = 0_u64;
        for (place, byte) in self.0.iter().enumerate() {
            if *byte == end && place > 0 {
                self.0 = &self.0[place + 1..];
                return Some(number);
            }
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            number = number.checked_mul(10)?.checked_add(digit)?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_in_whatever_is_around_it() {
        let mark = Mark { publisher: 1_999, number: 0, sent_ns: 12_345_678_901 };
        let body = mark.body(128);
        assert_eq!(body.len(), 128);
        assert_eq!(Mark::find(body.as_bytes()), Some(mark));
        assert_eq!(Mark::find(format!(r#"{{"type":"message","body":"{body}"}}"#).as_bytes()), Some(mark));
        for none in ["", "@@", "@@1:2:3", "@@1:2:x@@", "@@::@@", r#"{"type":"ping"}"#] {
            assert_eq!(Mark::find(none.as_bytes()), None, "{none}");
        }
    }
}
