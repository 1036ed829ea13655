//! The little of RFC 6455 that a load generator and a ceiling server need: whole frames, no fragments, no extensions.

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Any mask will do: what it protects against are proxies.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as it lies in a buffer, already unmasked.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub opcode: u8,
    pub payload: &'a [u8],
    /// Bytes of the whole frame, header included.
    pub size: usize,
}

/// A frame from client to server, which is masked.
pub fn of_client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len(), 0x80);
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame from server to client.
pub fn of_server(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
}

fn header(opcode: u8, len: usize, mask_bit: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 14);
    out.push(0x80 | opcode);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(small @ 0..=125), _) => out.push(mask_bit | small),
        (_, Ok(middle)) => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out
}

/// The first frame in the buffer, if it is there whole; it is unmasked in place.
pub fn first(buffer: &mut [u8]) -> Option<Frame<'_>> {
    let (head, masked) = (*buffer.first()?, *buffer.get(1)?);
    let (len, mut at) = match masked & 0x7f {
        126 => (usize::from(u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?)).ok()?, 10),
        small => (usize::from(small), 2),
    };
    let mask: Option<[u8; 4]> = if masked & 0x80 == 0 {
        None
    } else {
        at += 4;
        Some(buffer.get(at - 4..at)?.try_into().ok()?)
    };
    let size = at.checked_add(len)?;
    let payload = buffer.get_mut(at..size)?;
    if let Some(mask) = mask {
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
    Some(Frame { opcode: head & 0x0f, payload, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_any_length_is_read_as_it_was_written() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
            for mut bytes in [of_client(TEXT, &payload), of_server(TEXT, &payload)] {
                let size = bytes.len();
                bytes.extend_from_slice(b"next");
                let frame = first(&mut bytes);
                assert_eq!(frame, Some(Frame { opcode: TEXT, payload: &payload, size }));
            }
        }
    }

    #[test]
    fn half_a_frame_is_left_alone() {
        let whole = of_client(TEXT, &[7; 200]);
        for len in 0..whole.len() {
            let mut half = whole[..len].to_vec();
            assert_eq!(first(&mut half), None);
            assert_eq!(half, whole[..len]);
        }
    }
}
