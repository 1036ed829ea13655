//! Sealing texts, and the keys that do it. Only gateways, the search worker and the auth service link this crate: whoever has not,
//! sees boxes.
//!
//! ```text
//! root key, version 1, 2 …          outside: files, or what a command prints ([`roots`])
//!   └ wraps ─ key of a room          ┐ in the broker, wrapped ([`key`])
//!   └ wraps ─ key of a person        ┘
//!        body key = HKDF-SHA-256(room's key ‖ person's key)     never stored ([`body`])
//! ```
//!
//! The cipher is AES-256-GCM-SIV (RFC 8452): it needs no random nonce, so the same event is sealed to the same bytes, and a
//! retry can be compared with what is stored. Destroying either key of a text erases it from every copy.

pub mod body;
pub mod file;
pub mod key;
pub mod roots;
pub mod settings;

pub use body::{BodyKey, Forged, Kind, Label, reaction_tag};
pub use file::{CHUNK_TAG_BYTES, Chunk, FileKey, Salt, random_salt};
pub use key::{Key, NotUnwrapped};
pub use roots::{Root, RootFault, RootSource, Roots, store};
pub use settings::read_root_source;
