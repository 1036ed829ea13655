//! Everything a person sees: pages, live fragments, words, styles and scripts.
//!
//! Services fill in the view types of this crate and call `render()`; they never
//! name the template engine. What a site may restyle is in `html/` and `static/`.

pub mod answer;
pub mod assets;
mod forms;
mod fragments;
mod lang;
mod layout;
mod rows;
mod security;
mod text;
mod views;
mod words;

pub use askama::Error;
pub use forms::{FormError, RegisterErrors};
pub use fragments::{
    PresenceView, ack_fragment, caught_up_fragment, event_fragment, page_fragment, ping_fragment,
    presence_fragment, refused_fragment, reset_fragment, room_head_fragment, typing_fragment,
};
pub use lang::Lang;
pub use layout::{LastEvent, LastKind, Layout, RoomLink, Viewer};
pub(crate) use rows::QUICK_REACTIONS;
pub use rows::{EventRow, MessageRow, PersonRow, ReactionRow, RowKind};
pub use security::CONTENT_SECURITY_POLICY;
pub use views::{
    CreatePage, ErrorKind, ErrorPage, ExcerptPiece, HomePage, InvitePage, JoinPage, LoginPage, LogoutPage,
    NextHits, OlderFragment, RegisterPage, RoomPage, SearchFault, SearchFound, SearchHit, SearchOutcome,
    SearchPage,
};
pub use words::Words;
