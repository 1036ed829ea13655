//! Frames of RFC 6455 as a server writes them: unmasked, so that one frame's bytes serve every socket.

use bytes::{BufMut, Bytes, BytesMut};

/// A ping without a payload (RFC 6455, 5.5.2).
pub const PING: Bytes = Bytes::from_static(&[0x89, 0]);

/// A text frame, whole in one piece (RFC 6455, 5.2).
pub fn text(payload: &str) -> Bytes {
    const TEXT_AND_LAST: u8 = 0x81;
    let bytes = payload.as_bytes();
    let mut frame = BytesMut::with_capacity(bytes.len() + 10);
    frame.put_u8(TEXT_AND_LAST);
    match bytes.len() {
        short @ 0..126 => frame.put_u8(short as u8),
        middle @ 126..65_536 => {
            frame.put_u8(126);
            frame.put_u16(middle as u16);
        }
        long => {
            frame.put_u8(127);
            frame.put_u64(long as u64);
        }
    }
    frame.put_slice(bytes);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use tungstenite::protocol::{Role, WebSocket};

    #[test]
    fn a_frame_is_read_by_another_implementation() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
            let payload = "x".repeat(length);
            let bytes = [&text(&payload)[..], &PING].concat();
            let mut peer = WebSocket::from_raw_socket(Cursor::new(bytes), Role::Client, None);
            assert_eq!(peer.read().unwrap().into_text().unwrap().as_str(), payload);
            assert!(peer.read().unwrap().is_ping());
        }
    }
}
