//! The pages, one view type each.

mod account;
mod error;
mod lobby;
mod room;

pub use account::{LoginPage, LogoutPage, RegisterPage};
pub use error::{ErrorKind, ErrorPage};
pub use lobby::{CreatePage, HomePage, InvitePage, JoinPage};
pub use room::{OlderFragment, RoomPage};

#[cfg(test)]
mod tests;
