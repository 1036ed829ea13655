//! Whose an entry of the log is that can't be read, and what it is about: what must be known when that is erased.

use serde_json::Value;

use crate::{MessageId, UserId, ids::short};

/// What the bytes of such an entry say, as far as they say it. They may be those of a later version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clues {
    /// The event itself.
    pub event: Option<(MessageId, UserId)>,
    pub author: Option<UserId>,
    /// The message that it changes.
    pub target: Option<(MessageId, UserId)>,
}

impl Clues {
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        let Ok(entry) = serde_json::from_slice::<Value>(payload) else { return Self::default() };
        let author = id(&entry["author"]);
        Self { event: key(&entry), author, target: key(&entry["target"]) }
    }

    /// Whether it is this event, or changes it.
    #[must_use]
    pub fn lead_to(&self, id: MessageId, author: UserId) -> bool {
        [self.event, self.target].contains(&Some((id, author)))
    }
}

fn key(value: &Value) -> Option<(MessageId, UserId)> {
    Some((id(&value["id"])?, id(&value["author"])?))
}

fn id<I: From<uuid::Uuid>>(value: &Value) -> Option<I> {
    short::deserialize(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_later_version_wrote_is_known_by_its_ids() {
        let (id, target) = (MessageId::new(), MessageId::new());
        let (author, other) = (UserId::new(), UserId::new());
        let entry = json!({
            "v": 99, "type": "poll", "id": id.short(), "author": author.short(), "more": [1],
            "target": { "id": target.short(), "author": other.short(), "seq": 7 },
        });
        let clues = Clues::of(entry.to_string().as_bytes());
        assert_eq!(clues.author, Some(author));
        assert!(clues.lead_to(id, author) && clues.lead_to(target, other));
        assert!(!clues.lead_to(id, other) && !clues.lead_to(target, author));
    }

    #[test]
    fn what_says_nothing_has_no_traces() {
        for payload in [&b"{"[..], b"", b"[]", b"\"x\"", br#"{"author":"AA","id":7}"#] {
            assert_eq!(Clues::of(payload), Clues::default());
        }
    }
}
