//! What crosses the socket in the HTML format.
//!
//! A fragment is encoded once for all members of a room who read one language, so
//! it says nothing about its viewer: the page's own script knows what is "mine".

use askama::Template;

use crate::rows::Row;
use crate::{EventRow, Lang, PersonRow, RoomLink, Words};

#[derive(Template)]
#[template(path = "fragments/event.html")]
struct EventTemplate<'a> {
    w: &'static Words,
    row: Row<'a>,
}

#[derive(Template)]
#[template(path = "fragments/page.html")]
struct PageTemplate<'a> {
    w: &'static Words,
    rows: Vec<Row<'a>>,
    before: u64,
    more: bool,
}

#[derive(Template)]
#[template(path = "fragments/refused.html")]
struct RefusedTemplate<'a> {
    id: Option<&'a str>,
    code: &'a str,
    text: &'a str,
    retry_after_ms: Option<u64>,
}

#[derive(Template)]
#[template(
    source = r#"<div id="status" hx-swap-oob="true" hidden data-ack="{{ id }}" data-seq="{{ seq }}"{% if duplicate %} data-duplicate{% endif %}></div>"#,
    ext = "html"
)]
struct AckTemplate<'a> {
    id: &'a str,
    seq: u64,
    duplicate: bool,
}

#[derive(Template)]
#[template(
    source = r#"<div id="status" hx-swap-oob="true" hidden data-{{ name }}="{{ value }}"></div>"#,
    ext = "html"
)]
struct StatusTemplate<'a> {
    name: &'static str,
    value: &'a str,
}

/// A new event: one row, or one change of another row, for the end of `#messages`.
#[must_use]
pub fn event_fragment(lang: Lang, event: &EventRow) -> String {
    written(EventTemplate { w: lang.words(), row: Row::new(event, None) })
}

/// The answer to a `page` frame: rows for the top of `#messages`, oldest first.
#[must_use]
pub fn page_fragment(lang: Lang, rows: &[EventRow], more: bool) -> String {
    written(PageTemplate {
        w: lang.words(),
        rows: Row::all(rows),
        before: rows.first().map_or(0, |row| row.seq),
        more,
    })
}

/// A message was stored; `duplicate` when it had been stored before.
#[must_use]
pub fn ack_fragment(id: &str, seq: u64, duplicate: bool) -> String {
    written(AckTemplate { id, seq, duplicate })
}

/// A frame was refused. `message` is shown where `code` is not known to the words.
#[must_use]
pub fn refused_fragment(
    lang: Lang,
    id: Option<&str>,
    code: &str,
    message: &str,
    retry_after_ms: Option<u64>,
) -> String {
    written(RefusedTemplate { id, code, text: lang.words().refusal(code, message), retry_after_ms })
}

/// Who is present in a room: everybody (as far as names are given), or what changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceView {
    /// How many people are present.
    pub count: u64,
    /// `came` is everybody, and who was present before does not count any more.
    pub is_whole: bool,
    pub came: Vec<PersonRow>,
    pub went: Vec<PersonRow>,
}

#[derive(Template)]
#[template(
    source = r#"<div id="presence" hx-swap-oob="true" data-count="{{ view.count }}"{% if view.is_whole %} data-whole{% endif %}>{% for person in view.came %}<bdi data-came="{{ person.id }}">{{ person.name }}</bdi>{% endfor %}{% for person in view.went %}<bdi data-went="{{ person.id }}">{{ person.name }}</bdi>{% endfor %}</div>"#,
    ext = "html"
)]
struct PresenceTemplate<'a> {
    view: &'a PresenceView,
}

#[derive(Template)]
#[template(
    source = r#"<div id="typing" hx-swap-oob="true" data-user="{{ user.id }}"><bdi>{{ user.name }}</bdi></div>"#,
    ext = "html"
)]
struct TypingTemplate<'a> {
    user: &'a PersonRow,
}

#[derive(Template)]
#[template(path = "fragments/room-head.html")]
struct RoomHeadTemplate<'a> {
    w: &'static Words,
    room: &'a RoomLink,
}

/// An entry of a list of rooms in which something happened. The page puts it in the place of the old one.
#[must_use]
pub fn room_head_fragment(lang: Lang, room: &RoomLink) -> String {
    written(RoomHeadTemplate { w: lang.words(), room })
}

/// Who is present in the room.
#[must_use]
pub fn presence_fragment(view: &PresenceView) -> String {
    written(PresenceTemplate { view })
}

/// Somebody wrote something just now.
#[must_use]
pub fn typing_fragment(user: &PersonRow) -> String {
    written(TypingTemplate { user })
}

/// Everything up to `cursor` was sent.
#[must_use]
pub fn caught_up_fragment(cursor: &str) -> String {
    status("cursor", cursor)
}

/// The page's cursor can't be continued.
#[must_use]
pub fn reset_fragment(reason: &str) -> String {
    status("reset", reason)
}

/// A sign of life.
#[must_use]
pub fn ping_fragment() -> String {
    status("ping", "")
}

fn status(name: &'static str, value: &str) -> String {
    written(StatusTemplate { name, value })
}

/// Writes a template. Writing to a `String` can't fail, and no template here
/// calls anything that can.
fn written(template: impl Template) -> String {
    template.render().expect("a fragment writes to memory alone")
}

#[cfg(test)]
mod tests {
    use super::{
        ack_fragment, caught_up_fragment, event_fragment, page_fragment, ping_fragment, refused_fragment,
        reset_fragment,
    };
    use crate::{EventRow, Lang, MessageRow, PersonRow, ReactionRow, RowKind};

    const NASTY: &str = "\"><img src=x onerror=document.title=\"x\"><script>x</script>";

    fn row(kind: RowKind) -> EventRow {
        EventRow {
            seq: 7,
            prev: 5,
            id: "0192f0c1-0000-7000-8000-000000000007".to_owned(),
            at: "2026-11-25T09:14:37.123Z".to_owned(),
            author_id: NASTY.to_owned(),
            author_name: NASTY.to_owned(),
            kind,
        }
    }

    fn message(text: &str) -> RowKind {
        RowKind::Message(MessageRow { text: text.to_owned(), ..MessageRow::default() })
    }

    /// One of each kind that has no row of its own.
    fn changes() -> [RowKind; 5] {
        let target = "0192f0c1-0000-7000-8000-000000000001".to_owned();
        [
            RowKind::Edited { target: target.clone(), text: NASTY.to_owned() },
            RowKind::Deleted { target: target.clone() },
            RowKind::Reacted { target, reaction: "👍".to_owned(), on: false },
            RowKind::Erased { row: false },
            RowKind::Unopened { target: Some("0192f0c1-0000-7000-8000-000000000001".to_owned()) },
        ]
    }

    #[test]
    fn an_event_is_one_row_for_the_end_of_the_list() {
        let html = event_fragment(Lang::En, &row(message("hello")));
        assert!(html.starts_with("<div hx-swap-oob=\"beforeend:#messages\"><article "), "{html}");
        assert!(html.trim_end().ends_with("</article></div>"), "{html}");
        assert!(html.contains("id=\"0192f0c1-0000-7000-8000-000000000007\""));
        assert!(html.contains("data-seq=\"7\" data-prev=\"5\""));
        assert!(html.contains("<time "));
        assert!(html.contains("datetime=\"2026-11-25T09:14:37.123Z\""));
        assert!(html.contains(">hello</div>"));
    }

    #[test]
    fn nothing_in_an_event_becomes_markup() {
        let by = vec![PersonRow { id: NASTY.to_owned(), name: NASTY.to_owned() }];
        let reactions = vec![ReactionRow { reaction: NASTY.to_owned(), count: 1, by }];
        let edited_at = Some(NASTY.to_owned());
        let kinds = [
            RowKind::Message(MessageRow { text: NASTY.to_owned(), edited_at, reactions }),
            RowKind::Joined,
            RowKind::Left,
            RowKind::UserErased,
            RowKind::Unreadable,
            RowKind::Retention { days: 7 },
            RowKind::Created { room_name: NASTY.to_owned() },
            RowKind::Erased { row: true },
            RowKind::Unopened { target: None },
        ];
        for kind in kinds.into_iter().chain(changes()) {
            let html = event_fragment(Lang::Fr, &row(kind));
            assert!(!html.contains("<img") && !html.contains("<script"), "{html}");
        }
    }

    #[test]
    fn a_message_shows_that_it_was_edited_and_who_reacted() {
        let person = |id: &str, name: &str| PersonRow { id: id.to_owned(), name: name.to_owned() };
        let by = vec![person("a", "Ada"), person("b", "Ben")];
        let reactions = vec![ReactionRow { reaction: "👍".to_owned(), count: 2, by }];
        let edited_at = Some("2026-11-25T10:00:00.000Z".to_owned());
        let kind = RowKind::Message(MessageRow { text: "hello".to_owned(), edited_at, reactions });
        let html = event_fragment(Lang::En, &row(kind));
        assert!(
            html.contains("data-edited=\"edited\" data-edited-at=\"2026-11-25T10:00:00.000Z\""),
            "{html}"
        );
        assert!(
            html.contains("data-reaction=\"👍\" data-count=\"2\" data-by=\"a b\" title=\"Ada\nBen\""),
            "{html}"
        );
        assert!(html.contains(">hello</div>"), "the text is the text alone: {html}");
        let plain = event_fragment(Lang::En, &row(message("hello")));
        assert!(!plain.contains("data-edited") && !plain.contains("reactions"), "{plain}");
    }

    #[test]
    fn a_deleted_message_is_a_quiet_row_without_its_text() {
        let html = event_fragment(Lang::Fr, &row(RowKind::Erased { row: true }));
        assert!(
            html.contains("<article class=\"row note\"") && html.contains("data-kind=\"erased\""),
            "{html}"
        );
        assert!(html.contains("message supprimé") && !html.contains("class=\"body"), "{html}");
    }

    #[test]
    fn a_message_that_could_not_be_opened_says_so() {
        let html = event_fragment(Lang::En, &row(RowKind::Unopened { target: None }));
        assert!(html.contains("data-kind=\"unopened\"") && html.contains("could not be opened"), "{html}");
    }

    #[test]
    fn a_change_is_part_of_the_chain_and_has_no_row() {
        for kind in changes() {
            let code = kind.code();
            let html = event_fragment(Lang::En, &row(kind));
            assert!(
                html.starts_with("<div hx-swap-oob=\"beforeend:#messages\"><div class=\"change\" hidden "),
                "{html}"
            );
            assert!(html.contains(&format!("data-seq=\"7\" data-prev=\"5\" data-kind=\"{code}\"")), "{html}");
            assert!(
                html.contains("datetime=\"2026-11-25T09:14:37.123Z\"") && !html.contains("<article"),
                "{html}"
            );
            assert_eq!(
                html.contains("data-target=\"0192f0c1-0000-7000-8000-000000000001\""),
                code != "erased"
            );
            assert_eq!(html.contains("data-reaction=\"👍\" data-on=\"false\""), code == "reacted");
            assert_eq!(html.contains("class=\"body\""), code == "edited");
        }
    }

    #[test]
    fn line_breaks_and_indents_survive_the_template() {
        let html = event_fragment(Lang::En, &row(message("\n a\n\n    b \n")));
        assert!(html.contains(">\n a\n\n    b \n</div>"), "{html}");
    }

    #[test]
    fn the_same_event_says_the_same_to_every_member() {
        let event = row(message("x"));
        assert_eq!(event_fragment(Lang::En, &event), event_fragment(Lang::En, &event));
    }

    #[test]
    fn status_fragments_replace_the_status_element() {
        let start = "<div id=\"status\" hx-swap-oob=\"true\" hidden data-";
        for (html, rest) in [
            (ack_fragment("i", 7, false), "ack=\"i\" data-seq=\"7\"></div>"),
            (ack_fragment("i", 7, true), "ack=\"i\" data-seq=\"7\" data-duplicate></div>"),
            (caught_up_fragment("s.9"), "cursor=\"s.9\"></div>"),
            (reset_fragment("other_stream"), "reset=\"other_stream\"></div>"),
            (ping_fragment(), "ping=\"\"></div>"),
        ] {
            assert_eq!(html, format!("{start}{rest}"));
        }
    }

    #[test]
    fn a_refusal_is_said_in_the_persons_language() {
        let html = refused_fragment(Lang::Fr, Some("i"), "busy", "busy", Some(1_500));
        assert!(html.contains("data-refused=\"i\" data-code=\"busy\" data-retry-after-ms=\"1500\""));
        assert!(html.contains("Le serveur est occupé."));
        let html = refused_fragment(Lang::En, None, "<x>", NASTY, None);
        assert!(html.contains("data-refused=\"\""));
        assert!(!html.contains("<x>") && !html.contains("<img"));
    }

    #[test]
    fn a_page_says_where_the_next_one_begins() {
        let rows = [row(RowKind::Joined), row(message("x"))];
        let html = page_fragment(Lang::En, &rows, true);
        assert!(html.starts_with("<div hx-swap-oob=\"afterbegin:#messages\"><article "));
        assert!(html.contains("data-page data-more=\"true\" data-before=\"7\""));
        assert!(page_fragment(Lang::En, &[], false).contains("data-more=\"false\" data-before=\"0\""));
    }
}
