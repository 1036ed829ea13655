//! The WebSocket of a room: `GET /chat/<slug>/?after=<cursor>`.
//!
//! [`handshake`] decides who may come in, [`seat`] is the loop of one socket, [`inbound`] says what a frame means,
//! [`wire`] writes frames.

mod bell;
#[cfg(test)]
mod echo;
pub mod frame;
mod handshake;
pub mod heartbeat;
pub mod inbound;
pub mod line;
mod list;
mod outlet;
mod queue;
mod seat;
mod upgrade;
pub mod view;
pub mod wire;

pub use handshake::{open, open_list};
pub use queue::Slow;
