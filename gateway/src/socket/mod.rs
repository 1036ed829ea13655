//! The WebSocket of a room: `GET /chat/<slug>/?after=<cursor>`.
//!
//! [`handshake`] decides who may come in, [`seat`] is the loop of one socket, [`inbound`] says what a frame means,
//! [`wire`] writes frames.

mod handshake;
pub mod inbound;
mod outlet;
mod seat;
pub mod view;
pub mod wire;

pub use handshake::open;
