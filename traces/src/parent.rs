//! Where in a trace something is, as a header says it: W3C Trace Context, version 00.

use std::fmt;

/// A place in a trace, and whether it is followed. Displayed, it is the header's value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Traceparent {
    pub(crate) trace: [u8; 16],
    pub(crate) span: [u8; 8],
    flags: u8,
}

const SAMPLED: u8 = 1;

impl Traceparent {
    /// The header's name, in NATS messages too.
    pub const HEADER: &'static str = "traceparent";

    /// A new place below this one, or in a trace of its own. `None` when the system has no randomness.
    pub(crate) fn below(parent: Option<Self>) -> Option<Self> {
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        getrandom::fill(&mut span).ok()?;
        match parent {
            Some(parent) => trace = parent.trace,
            None => getrandom::fill(&mut trace).ok()?,
        }
        Some(Self { trace, span, flags: SAMPLED })
    }

    /// Whether whoever began the trace follows it.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED == SAMPLED
    }

    /// Reads the header's value. Of a version that is not known, what begins as version 00 does is read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let [version] = bytes(parts.next()?)?;
        let (trace, span, [flags]) = (bytes(parts.next()?)?, bytes(parts.next()?)?, bytes(parts.next()?)?);
        let is_form_known = version != 0xff && (version > 0 || parts.next().is_none());
        let is_somewhere = trace != [0; 16] && span != [0; 8];
        (is_form_known && is_somewhere).then_some(Self { trace, span, flags })
    }
}

/// Lower-case hexadecimal digits, exactly as many as are needed.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut read = [0; N];
    for (byte, [high, low]) in read.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(read)
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{}-{}-{:02x}", Hex(&self.trace), Hex(&self.span), self.flags)
    }
}

impl fmt::Debug for Traceparent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard.
    const GOLDEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_standards_example_is_read_and_written_alike() {
        let parent = Traceparent::parse(GOLDEN).unwrap();
        assert_eq!(parent.trace[..4], [0x4b, 0xf9, 0x2f, 0x35]);
        assert_eq!(parent.span, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert!(parent.is_sampled());
        assert_eq!(parent.to_string(), GOLDEN);
    }

    #[test]
    fn the_flag_decides_and_others_beside_it_do_not() {
        let flagged = |flags: &str| Traceparent::parse(&GOLDEN.replace("-01", flags)).unwrap().is_sampled();
        assert_eq!(["-00", "-01", "-02", "-03"].map(flagged), [false, true, false, true]);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = GOLDEN.replacen("00", "cc", 1);
        assert!(Traceparent::parse(&later).is_some());
        assert!(Traceparent::parse(&format!("{later}-what-will-be")).is_some());
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47360-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Traceparent::parse(bad), None, "{bad}");
        }
    }
}
