//! What a form says about what was typed.

use crate::Words;

/// Why a form was not accepted. Its text is in the page's language and stands
/// beside the field it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    NameEmpty,
    NameTooLong,
    NameInvisible,
    NameControl,
    NameDirection,
    /// The name, or one that looks like it, belongs to somebody.
    NameTaken,
    PasswordTooShort,
    PasswordTooLong,
    PasswordCommon,
    PasswordIsName,
    PasswordsDiffer,
    /// The name or the password is wrong; which one is not said.
    WrongLogin,
    /// Too much to do right now (503).
    Busy,
    TooManyTries,
    RoomNameEmpty,
    RoomNameTooLong,
    /// Neither a letter nor a digit nor an emoji.
    RoomNameSymbols,
    /// Control or direction characters.
    RoomNameControl,
    UnknownCode,
    /// The service that makes keys does not answer (503).
    RoomsWait,
}

impl FormError {
    /// The error in words.
    #[must_use]
    pub fn text(self, words: &'static Words) -> &'static str {
        let forms = &words.forms;
        match self {
            FormError::NameEmpty => forms.name_empty,
            FormError::NameTooLong => forms.name_too_long,
            FormError::NameInvisible => forms.name_invisible,
            FormError::NameControl => forms.name_control,
            FormError::NameDirection => forms.name_direction,
            FormError::NameTaken => forms.name_taken,
            FormError::PasswordTooShort => forms.password_too_short,
            FormError::PasswordTooLong => forms.password_too_long,
            FormError::PasswordCommon => forms.password_common,
            FormError::PasswordIsName => forms.password_is_name,
            FormError::PasswordsDiffer => forms.passwords_differ,
            FormError::WrongLogin => forms.wrong_login,
            FormError::Busy => forms.busy,
            FormError::TooManyTries => forms.too_many_tries,
            FormError::RoomNameEmpty => forms.room_name_empty,
            FormError::RoomNameTooLong => forms.room_name_too_long,
            FormError::RoomNameSymbols => forms.room_name_symbols,
            FormError::RoomNameControl => forms.room_name_control,
            FormError::UnknownCode => forms.unknown_code,
            FormError::RoomsWait => forms.rooms_wait,
        }
    }
}

/// What is wrong in the registration form, field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegisterErrors {
    pub name: Option<FormError>,
    pub password: Option<FormError>,
    pub repeat: Option<FormError>,
    /// What is about the form as a whole (busy, too many tries).
    pub form: Option<FormError>,
}

impl RegisterErrors {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
