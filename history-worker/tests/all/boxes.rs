//! Boxes as these tests make them: nothing in them is sealed, so that a test sees which text came back. The worker can't tell.

use protocol::event::SealedReaction;
use protocol::sealed::BOX_TAG_BYTES;
use protocol::{MessageId, Sealed, SealedText, Tag, UserId};

/// Format 1, and the first generations of both keys.
const HEAD: [u8; 5] = [1, 0, 1, 0, 1];

pub fn boxed(by: MessageId, text: &str) -> SealedText {
    let bytes = [&HEAD[..], text.as_bytes(), &[0; BOX_TAG_BYTES]].concat();
    SealedText { by, sealed: Sealed::from_bytes(bytes).expect("it is made as a box is") }
}

pub fn text(of: &SealedText) -> &str {
    let bytes = of.sealed.as_bytes();
    std::str::from_utf8(&bytes[HEAD.len()..bytes.len() - BOX_TAG_BYTES]).expect("the text of a test")
}

pub fn reaction(by: MessageId, author: UserId, emoji: &str) -> SealedReaction {
    let mut tag = [0; 8];
    emoji.bytes().enumerate().for_each(|(at, byte)| tag[at % 8] ^= byte);
    SealedReaction { tag: Tag(tag), author, text: boxed(by, emoji) }
}
