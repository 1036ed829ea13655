//! The words that people read, one value per language: a word that is missing
//! in one of them does not compile.

mod en;
mod fr;

pub(crate) use en::EN;
pub(crate) use fr::FR;

/// Every word of one language. A `{…}` in a text is a place that a page fills in.
#[derive(Debug)]
pub struct Words {
    // The frame of every page.
    pub tagline: &'static str,
    pub skip_to_content: &'static str,
    pub skip_to_messages: &'static str,
    pub skip_to_composer: &'static str,
    pub home: &'static str,
    pub language: &'static str,
    pub log_in: &'static str,
    pub log_out: &'static str,
    pub register: &'static str,
    pub cancel: &'static str,
    pub close: &'static str,
    pub copy: &'static str,
    pub copied: &'static str,

    // The list of rooms.
    pub rooms: &'static str,
    pub your_rooms: &'static str,
    pub no_rooms_title: &'static str,
    pub no_rooms_text: &'static str,
    pub nothing_yet: &'static str,
    pub create_room: &'static str,
    pub create_title: &'static str,
    pub create_lead: &'static str,
    /// What sealing does, and what it does not.
    pub sealed_at_rest: &'static str,
    pub create_submit: &'static str,
    pub room_name: &'static str,
    pub room_name_hint: &'static str,
    pub join_room: &'static str,
    pub join_title: &'static str,
    pub join_lead: &'static str,
    pub join_submit: &'static str,
    pub room_code: &'static str,
    pub room_code_hint: &'static str,

    // Searching.
    pub search: &'static str,
    pub search_title: &'static str,
    pub search_label: &'static str,
    pub search_placeholder: &'static str,
    pub search_in_room: &'static str,
    pub search_hits: &'static str,
    pub search_nothing: &'static str,
    pub searched_for: &'static str,
    pub search_more: &'static str,
    pub search_incomplete: &'static str,
    pub search_unavailable: &'static str,
    pub search_hints_title: &'static str,
    /// What can be typed, and what it finds.
    pub search_hints: &'static [(&'static str, &'static str)],
    pub search_faults: SearchFaultWords,

    // An invitation.
    pub invite_eyebrow: &'static str,
    pub invite_lead: &'static str,
    pub invite_submit: &'static str,
    pub not_now: &'static str,

    // Accounts.
    pub login_title: &'static str,
    pub login_lead: &'static str,
    pub login_submit: &'static str,
    pub no_account: &'static str,
    pub register_title: &'static str,
    pub register_lead: &'static str,
    pub register_submit: &'static str,
    pub have_account: &'static str,
    pub account_created: &'static str,
    pub name: &'static str,
    pub name_hint: &'static str,
    pub password: &'static str,
    pub password_hint: &'static str,
    pub password_repeat: &'static str,
    pub show_password: &'static str,
    pub hide_password: &'static str,
    pub logout_title: &'static str,
    pub logout_lead: &'static str,
    pub logout_submit: &'static str,
    pub stay: &'static str,

    // The room.
    pub messages: &'static str,
    pub room_menu: &'static str,
    pub invite: &'static str,
    pub invite_people: &'static str,
    pub invite_people_text: &'static str,
    pub invite_link: &'static str,
    // How long a room keeps things.
    pub keep_title: &'static str,
    pub keep_text: &'static str,
    pub keep_submit: &'static str,
    pub for_ever: &'static str,
    pub for_one_day: &'static str,
    pub for_days: &'static str,
    pub keeps: &'static str,
    pub retention: &'static str,

    pub leave_room: &'static str,
    pub leave_title: &'static str,
    pub leave_text: &'static str,
    pub leave_submit: &'static str,
    pub beginning: &'static str,
    pub beginning_by: &'static str,
    pub beginning_text: &'static str,
    pub write_first: &'static str,
    pub older_messages: &'static str,
    pub newer_messages: &'static str,
    pub copy_link: &'static str,
    pub link_copied: &'static str,
    pub go_to_day: &'static str,
    pub day: &'static str,
    pub go: &'static str,
    pub nothing_there: &'static str,
    pub write_message: &'static str,
    pub message_placeholder: &'static str,
    pub send: &'static str,
    pub keys_hint: &'static str,
    pub joined: &'static str,
    pub left: &'static str,
    /// In place of the name of a person who was erased, and what is said of them.
    pub somebody: &'static str,
    pub user_erased: &'static str,
    pub created: &'static str,
    pub created_it: &'static str,
    pub edited: &'static str,
    pub erased: &'static str,
    /// In place of a message whose text could not be opened.
    pub unopened: &'static str,
    pub unreadable: &'static str,
    pub and_more: &'static str,
    pub who_is_here: &'static str,
    pub tools: &'static str,
    pub react: &'static str,
    pub edit: &'static str,
    pub editing: &'static str,
    pub delete_title: &'static str,
    pub delete_text: &'static str,
    pub show_more: &'static str,
    pub show_less: &'static str,
    pub to_the_end: &'static str,

    // What the script of the room says.
    pub today: &'static str,
    pub yesterday: &'static str,
    pub reconnecting: &'static str,
    pub offline: &'static str,
    pub session_ended: &'static str,
    pub log_in_again: &'static str,
    pub no_longer_member: &'static str,
    pub to_my_rooms: &'static str,
    pub closed_for_abuse: &'static str,
    pub too_many_windows: &'static str,
    pub reconnect: &'static str,
    pub history_was_reset: &'static str,
    pub not_sent: &'static str,
    pub try_again: &'static str,
    pub delete: &'static str,
    pub dismiss: &'static str,
    pub more: &'static str,
    pub sending: &'static str,
    pub too_long: &'static str,
    pub new_messages_one: &'static str,
    pub new_messages_other: &'static str,
    pub people_joined: &'static str,
    pub people_left: &'static str,
    pub people_here_one: &'static str,
    pub people_here_other: &'static str,
    pub typing_one: &'static str,
    pub typing_two: &'static str,
    pub typing_many: &'static str,
    pub older_failed: &'static str,
    pub characters_left_one: &'static str,
    pub characters_left_other: &'static str,

    pub forms: FormWords,
    pub refusals: RefusalWords,
    pub errors: ErrorWords,
}

/// What a form says about what was typed.
#[derive(Debug)]
pub struct FormWords {
    pub name_empty: &'static str,
    pub name_too_long: &'static str,
    pub name_invisible: &'static str,
    pub name_control: &'static str,
    pub name_direction: &'static str,
    pub name_taken: &'static str,
    pub password_too_short: &'static str,
    pub password_too_long: &'static str,
    pub password_common: &'static str,
    pub password_is_name: &'static str,
    pub passwords_differ: &'static str,
    pub wrong_login: &'static str,
    pub busy: &'static str,
    pub too_many_tries: &'static str,
    pub room_name_empty: &'static str,
    pub room_name_too_long: &'static str,
    pub room_name_symbols: &'static str,
    pub room_name_control: &'static str,
    pub unknown_code: &'static str,
    pub rooms_wait: &'static str,
}

/// What is wrong with a search, and what to type instead.
#[derive(Debug)]
pub struct SearchFaultWords {
    pub no_words: &'static str,
    pub too_long: &'static str,
    pub too_many: &'static str,
    pub nothing_behind: &'static str,
    pub no_day: &'static str,
    pub no_room: &'static str,
    pub too_fast: &'static str,
}

/// Why a message was refused, by the code of the frame.
#[derive(Debug)]
pub struct RefusalWords {
    pub empty: &'static str,
    pub too_long: &'static str,
    pub control_character: &'static str,
    pub id_reused: &'static str,
    pub no_such_message: &'static str,
    pub not_allowed: &'static str,
    pub too_many_edits: &'static str,
    pub too_fast: &'static str,
    pub not_confirmed: &'static str,
    pub storage_full: &'static str,
    pub unavailable: &'static str,
    pub busy: &'static str,
}

/// A title and a sentence for each page that says what went wrong.
#[derive(Debug)]
pub struct ErrorWords {
    pub not_found: ErrorText,
    pub room_not_found: ErrorText,
    pub forbidden: ErrorText,
    pub not_a_member: ErrorText,
    pub foreign_origin: ErrorText,
    pub bad_request: ErrorText,
    pub too_large: ErrorText,
    pub too_many: ErrorText,
    pub unavailable: ErrorText,
    pub internal: ErrorText,
    pub try_again: &'static str,
}

/// What happened, and what to do next.
#[derive(Debug)]
pub struct ErrorText {
    pub title: &'static str,
    pub text: &'static str,
}

impl Words {
    /// The field's hint with the room's name in it.
    pub(crate) fn placeholder(&self, room_name: &str) -> String {
        self.message_placeholder.replace("{room}", room_name)
    }

    /// The words of the button that accepts an invitation.
    pub(crate) fn invite_button(&self, room_name: &str) -> String {
        self.invite_submit.replace("{room}", room_name)
    }

    /// For how many days; 0 for ever.
    pub(crate) fn kept_for(&self, days: u16) -> String {
        match days {
            0 => self.for_ever.to_owned(),
            1 => self.for_one_day.to_owned(),
            days => self.for_days.replace("{n}", &days.to_string()),
        }
    }

    /// How long a room keeps things, as a sentence.
    pub(crate) fn keeps(&self, days: u16) -> String {
        self.keeps.replace("{time}", &self.kept_for(days))
    }

    /// What somebody did who told the room how long to keep things.
    pub(crate) fn retention(&self, days: u16) -> String {
        self.retention.replace("{time}", &self.kept_for(days))
    }

    /// The title of the question whether to leave.
    pub(crate) fn leave_question(&self, room_name: &str) -> String {
        self.leave_title.replace("{room}", room_name)
    }

    /// How many people are not named.
    pub(crate) fn and_more(&self, n: u64) -> String {
        self.and_more.replace("{n}", &n.to_string())
    }

    /// What the code of a `refused` frame means, or `message` for a code not known here.
    pub(crate) fn refusal<'a>(&self, code: &str, message: &'a str) -> &'a str
    where
        'static: 'a,
    {
        match code {
            "empty" => self.refusals.empty,
            "too_long" => self.refusals.too_long,
            "control_character" => self.refusals.control_character,
            "id_reused" => self.refusals.id_reused,
            "no_such_message" => self.refusals.no_such_message,
            "not_allowed" => self.refusals.not_allowed,
            "too_many_edits" => self.refusals.too_many_edits,
            "too_fast" => self.refusals.too_fast,
            "not_confirmed" => self.refusals.not_confirmed,
            "storage_full" => self.refusals.storage_full,
            "unavailable" => self.refusals.unavailable,
            "busy" => self.refusals.busy,
            _ => message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EN, FR};

    #[test]
    fn both_languages_keep_the_places_to_fill_in() {
        for words in [&EN, &FR] {
            assert!(words.placeholder("Lobby").contains("Lobby"));
            assert!(words.leave_question("Lobby").contains("Lobby"));
            for text in [
                words.new_messages_one,
                words.new_messages_other,
                words.people_joined,
                words.people_left,
                words.and_more,
                words.people_here_other,
                words.characters_left_other,
            ] {
                assert!(text.contains("{n}"), "{text}");
            }
            for text in [words.search_faults.nothing_behind, words.search_faults.no_day] {
                assert!(text.contains("{operator}"), "{text}");
            }
            assert!(words.search_faults.no_room.contains("{room}"));
            assert!(words.typing_one.contains("{a}"));
            assert!(words.typing_two.contains("{a}") && words.typing_two.contains("{b}"));
            for text in [words.too_long, words.refusals.too_long] {
                assert!(text.contains("4,000") || text.contains("4\u{a0}000"), "{text}");
            }
        }
    }

    #[test]
    fn a_known_code_is_explained_in_the_persons_language() {
        assert_eq!(FR.refusal("busy", "x"), FR.refusals.busy);
        assert_eq!(FR.refusal("unheard_of", "as the server said"), "as the server said");
    }
}
