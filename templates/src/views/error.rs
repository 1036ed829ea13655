//! What a person sees when something can't be done.

use askama::Template;

use crate::Layout;
use crate::words::{ErrorText, Words};

/// What went wrong, as far as the person who reads it can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    RoomNotFound,
    Forbidden,
    NotAMember,
    /// A form that came from another site.
    ForeignOrigin,
    BadRequest,
    TooLarge,
    TooMany,
    /// Something that we need is away (503).
    Unavailable,
    Internal,
}

impl ErrorKind {
    /// The kind that fits a status best, when nothing more is known.
    #[must_use]
    pub fn of_status(status: u16) -> ErrorKind {
        match status {
            404 | 410 => ErrorKind::NotFound,
            401 | 403 => ErrorKind::Forbidden,
            413 | 414 | 431 => ErrorKind::TooLarge,
            429 => ErrorKind::TooMany,
            502..=504 => ErrorKind::Unavailable,
            400..=499 => ErrorKind::BadRequest,
            _ => ErrorKind::Internal,
        }
    }

    fn text(self, words: &'static Words) -> &'static ErrorText {
        let errors = &words.errors;
        match self {
            ErrorKind::NotFound => &errors.not_found,
            ErrorKind::RoomNotFound => &errors.room_not_found,
            ErrorKind::Forbidden => &errors.forbidden,
            ErrorKind::NotAMember => &errors.not_a_member,
            ErrorKind::ForeignOrigin => &errors.foreign_origin,
            ErrorKind::BadRequest => &errors.bad_request,
            ErrorKind::TooLarge => &errors.too_large,
            ErrorKind::TooMany => &errors.too_many,
            ErrorKind::Unavailable => &errors.unavailable,
            ErrorKind::Internal => &errors.internal,
        }
    }

    /// Whether asking again can help.
    fn may_pass(self) -> bool {
        matches!(self, ErrorKind::TooMany | ErrorKind::Unavailable | ErrorKind::Internal)
    }
}

/// A sentence, what to do next, a link. Never a raw error.
#[derive(Debug)]
pub struct ErrorPage<'a> {
    pub layout: Layout<'a>,
    pub status: u16,
    pub kind: ErrorKind,
}

#[derive(Template)]
#[template(path = "pages/error.html")]
struct ErrorTemplate<'a> {
    w: &'static Words,
    layout: &'a Layout<'a>,
    error: &'static ErrorText,
    status: u16,
    may_pass: bool,
    wants_join: bool,
}

impl ErrorPage<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When a template can't be written, which is a fault of this crate.
    pub fn render(&self) -> Result<String, askama::Error> {
        let w = self.layout.words();
        ErrorTemplate {
            w,
            layout: &self.layout,
            error: self.kind.text(w),
            status: self.status,
            may_pass: self.kind.may_pass(),
            wants_join: matches!(self.kind, ErrorKind::RoomNotFound | ErrorKind::NotAMember),
        }
        .render()
    }
}
