//! The list of rooms and the ways into a room.

use askama::Template;

use crate::{FormError, Layout, RoomLink, Words};

/// `/`: my rooms by their last activity, and the ways to more.
#[derive(Debug)]
pub struct HomePage<'a> {
    pub layout: Layout<'a>,
    /// In the order in which they are shown.
    pub rooms: Vec<RoomLink>,
}

/// `/create/`.
#[derive(Debug)]
pub struct CreatePage<'a> {
    pub layout: Layout<'a>,
    /// The room's name as it was typed.
    pub name: &'a str,
    pub error: Option<FormError>,
}

/// `/join/`.
#[derive(Debug)]
pub struct JoinPage<'a> {
    pub layout: Layout<'a>,
    /// The code as it was typed.
    pub code: &'a str,
    pub error: Option<FormError>,
}

/// What a person sees who opens a room without being a member.
#[derive(Debug)]
pub struct InvitePage<'a> {
    pub layout: Layout<'a>,
    pub slug: &'a str,
    pub room_name: &'a str,
}

#[derive(Template)]
#[template(path = "pages/home.html")]
struct HomeTemplate<'a> {
    w: &'static Words,
    layout: &'a Layout<'a>,
    page: &'a HomePage<'a>,
    /// Of the search field.
    query: &'static str,
    focused: bool,
}

#[derive(Template)]
#[template(path = "pages/create.html")]
struct CreateTemplate<'a> {
    w: &'static Words,
    layout: &'a Layout<'a>,
    page: &'a CreatePage<'a>,
}

#[derive(Template)]
#[template(path = "pages/join.html")]
struct JoinTemplate<'a> {
    w: &'static Words,
    layout: &'a Layout<'a>,
    page: &'a JoinPage<'a>,
}

#[derive(Template)]
#[template(path = "pages/invite.html")]
struct InviteTemplate<'a> {
    w: &'static Words,
    layout: &'a Layout<'a>,
    page: &'a InvitePage<'a>,
}

impl HomePage<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When a template can't be written, which is a fault of this crate.
    pub fn render(&self) -> Result<String, askama::Error> {
        let (w, layout) = (self.layout.words(), &self.layout);
        HomeTemplate { w, layout, page: self, query: "", focused: false }.render()
    }
}

impl CreatePage<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When a template can't be written, which is a fault of this crate.
    pub fn render(&self) -> Result<String, askama::Error> {
        CreateTemplate { w: self.layout.words(), layout: &self.layout, page: self }.render()
    }
}

impl JoinPage<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When a template can't be written, which is a fault of this crate.
    pub fn render(&self) -> Result<String, askama::Error> {
        JoinTemplate { w: self.layout.words(), layout: &self.layout, page: self }.render()
    }
}

impl InvitePage<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When a template can't be written, which is a fault of this crate.
    pub fn render(&self) -> Result<String, askama::Error> {
        InviteTemplate { w: self.layout.words(), layout: &self.layout, page: self }.render()
    }
}
