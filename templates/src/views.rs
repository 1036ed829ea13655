//! The pages, one view type each.

mod account;
mod error;
mod lobby;
mod room;
mod search;

pub use account::{LoginPage, LogoutPage, RegisterPage};
pub use error::{ErrorKind, ErrorPage};
pub use lobby::{CreatePage, HomePage, InvitePage, JoinPage};
pub use room::{OlderFragment, RoomPage};
pub use search::{ExcerptPiece, NextHits, SearchFault, SearchFound, SearchHit, SearchOutcome, SearchPage};

#[cfg(test)]
mod tests;
