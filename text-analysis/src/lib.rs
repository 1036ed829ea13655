//! Texts as a search sees them: case and accents folded, taken apart into tokens, words with their stems; and where in a text
//! something is that was looked for. Pure: the search worker makes its index with it, and the gateway shows with it what was found.

mod excerpt;
mod fold;
mod pattern;
mod stems;
mod tokens;

pub use excerpt::{Piece, excerpt};
pub use fold::fold;
pub use pattern::{Matcher, Pattern};
pub use stems::stems;
pub use tokens::{Kind, Token, tokens};
