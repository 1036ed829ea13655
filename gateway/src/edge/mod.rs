//! What every request passes: who asks, from where, and how an answer is written.

pub mod answer;
pub mod identity;
pub mod origin;
