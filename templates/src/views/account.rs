//! Logging in, making an account, logging out.

use askama::Template;

use crate::{FormError, Layout, RegisterErrors, Words};

/// The login page.
#[derive(Debug)]
pub struct LoginPage<'a> {
    pub layout: Layout<'a>,
    /// The name as it was typed.
    pub name: &'a str,
    /// Where to go afterwards; a path of ours, or empty.
    pub next: &'a str,
    pub error: Option<FormError>,
}

/// The page that makes an account. Passwords are never shown again.
#[derive(Debug)]
pub struct RegisterPage<'a> {
    pub layout: Layout<'a>,
    /// The name as it was typed.
    pub name: &'a str,
    /// Where to go after logging in; a path of ours, or empty.
    pub next: &'a str,
    pub errors: RegisterErrors,
}

/// The question whether to log out: a form that posts to the page's own address.
#[derive(Debug)]
pub struct LogoutPage<'a> {
    pub layout: Layout<'a>,
}

#[derive(Template)]
#[template(path = "pages/login.html")]
struct LoginTemplate<'a> {
    w: &'static Words,
    layout: &'a Layout<'a>,
    page: &'a LoginPage<'a>,
}

#[derive(Template)]
#[template(path = "pages/register.html")]
struct RegisterTemplate<'a> {
    w: &'static Words,
    layout: &'a Layout<'a>,
    page: &'a RegisterPage<'a>,
}

#[derive(Template)]
#[template(path = "pages/logout.html")]
struct LogoutTemplate<'a> {
    w: &'static Words,
    layout: &'a Layout<'a>,
}

impl LoginPage<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When a template can't be written, which is a fault of this crate.
    pub fn render(&self) -> Result<String, askama::Error> {
        LoginTemplate { w: self.layout.words(), layout: &self.layout, page: self }.render()
    }
}

impl RegisterPage<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When a template can't be written, which is a fault of this crate.
    pub fn render(&self) -> Result<String, askama::Error> {
        RegisterTemplate { w: self.layout.words(), layout: &self.layout, page: self }.render()
    }
}

impl LogoutPage<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When a template can't be written, which is a fault of this crate.
    pub fn render(&self) -> Result<String, askama::Error> {
        LogoutTemplate { w: self.layout.words(), layout: &self.layout }.render()
    }
}
