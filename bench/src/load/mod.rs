//! The load generator: all members of all rooms in one thread, hand-written frames, one read for each delivery.

mod crew;
mod dialect;
mod mark;
mod talk;
mod tally;

pub use crew::{Connected, Crew};
pub use dialect::Dialect;
pub use talk::{Speech, Talked};
