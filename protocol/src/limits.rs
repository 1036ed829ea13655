//! Every limit that more than one piece must agree on.

/// Characters (Unicode scalar values) in a message's body, at most.
pub const BODY_CHARS_MAX: usize = 4_000;
/// Bytes in one WebSocket message from a client, at most. A larger one closes the socket with 1009.
pub const FRAME_BYTES_MAX: usize = 32 * 1024;
/// Characters in a person's name, at most.
pub const USER_NAME_CHARS_MAX: usize = 32;
/// Characters in a room's name, at most.
pub const ROOM_NAME_CHARS_MAX: usize = 60;
/// Bytes in a room's slug, at most: it is a token of a broker subject and a part of an address.
pub const SLUG_BYTES_MAX: usize = 64;
/// Characters in a password, at least and at most (NIST SP 800-63B asks for 8 and at least 64).
pub const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=128;
/// Events in a page when the client names no number.
pub const PAGE_EVENTS: usize = 50;
/// Events in a page, at most.
pub const PAGE_EVENTS_MAX: usize = 100;
/// Bytes of one event in the log, at most. Longer ones are set aside by every reader.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one reaction, at most: the longest emoji of Unicode has 35 (a family, or a flag of a part of a country).
pub const REACTION_BYTES_MAX: usize = 40;
/// How often one message may be edited.
pub const EDITS_MAX: usize = 100;
/// Different reactions of one message that are shown, at most; later ones are stored and not shown.
pub const REACTIONS_SHOWN_MAX: usize = 20;
/// People who are named where a list could be endless (who is present, who reacted); beside it stands the whole count.
pub const PEOPLE_NAMED_MAX: usize = 100;
