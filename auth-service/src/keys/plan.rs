//! What is to be done about the signing keys. Pure.

use crate::config::Lives;
use crate::store::KeyRow;
use protocol::Timestamp;

/// A new key is published this long before it signs, so that every gateway knows it by then, in seconds.
const ANNOUNCED_S: i64 = 15;
/// A replaced key is accepted this much longer than its last token lives, in seconds: another auth service
/// may go on signing with it until its next look.
const MARGIN_S: i64 = 120;

/// What is to be done, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub create: bool,
    /// Keys that get an end.
    pub retire: Vec<(String, Timestamp)>,
    /// Keys whose end is past.
    pub forget: Vec<String>,
}

impl Plan {
    pub fn of(rows: &[KeyRow], lives: Lives, now: Timestamp) -> Self {
        let (usable, retired): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.retired_at.is_none());
        let newest = usable.iter().max_by_key(|row| age_key(row));
        let create = newest.is_none_or(|row| row.created_at.plus_seconds(lives.key_s.into()) <= now);
        // Those before the newest are replaced; the newest one itself at the next look after its successor
        // was made.
        let ends_at = now.plus_seconds(i64::from(lives.token_s) + ANNOUNCED_S + MARGIN_S);
        let replaced = usable.iter().filter(|row| Some(&row.key_id) != newest.map(|newest| &newest.key_id));
        Self {
            create,
            retire: replaced.map(|row| (row.key_id.clone(), ends_at)).collect(),
            forget: retired
                .iter()
                .filter(|row| row.retired_at.is_some_and(|at| at <= now))
                .map(|row| row.key_id.clone())
                .collect(),
        }
    }

    pub const fn is_empty(&self) -> bool {
        !self.create && self.retire.is_empty() && self.forget.is_empty()
    }
}

/// The key that signs now: the newest that has been announced long enough, and else the newest one there is.
/// One with an end signs only what ends before it.
pub fn signer(rows: &[KeyRow], lives: Lives, now: Timestamp) -> Option<&KeyRow> {
    let lasting =
        |row: &&KeyRow| row.retired_at.is_none_or(|at| now.plus_seconds(lives.token_s.into()) <= at);
    let announced = |row: &&KeyRow| row.created_at.plus_seconds(ANNOUNCED_S) <= now;
    let newest =
        |rows: Vec<&'_ KeyRow>| rows.into_iter().max_by_key(|row| age_key(row)).map(|row| row.key_id.clone());
    let known = rows.iter().filter(lasting).filter(announced).collect();
    let chosen = newest(known).or_else(|| newest(rows.iter().filter(lasting).collect()))?;
    rows.iter().find(|row| row.key_id == chosen)
}

/// Seconds until then, rounded up; 0 when it is past.
pub fn seconds_left(until: Timestamp, now: Timestamp) -> u64 {
    let left_ms = until.as_millis().saturating_sub(now.as_millis());
    u64::try_from(left_ms).unwrap_or(0).div_ceil(1000)
}

/// Of two keys made in the same instant by two services, all choose the same one.
fn age_key(row: &KeyRow) -> (Timestamp, &str) {
    (row.created_at, &row.key_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVES: Lives = Lives { token_s: 600, session_s: 3_600, key_s: 86_400 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }
    fn key(id: &str, created_s: i64, retired_s: Option<i64>) -> KeyRow {
        KeyRow {
            key_id: id.into(),
            secret: String::new(),
            created_at: at(created_s),
            retired_at: retired_s.map(at),
        }
    }
    fn signer_at(rows: &[KeyRow], second: i64) -> &str {
        &signer(rows, LIVES, at(second)).unwrap().key_id
    }

    #[test]
    fn the_first_key_is_made_and_signs_at_once() {
        assert_eq!(Plan::of(&[], LIVES, at(0)), Plan { create: true, ..Plan::default() });
        let rows = [key("one", 0, None)];
        assert!(Plan::of(&rows, LIVES, at(1)).is_empty());
        assert_eq!(signer_at(&rows, 0), "one");
    }

    #[test]
    fn an_old_key_is_replaced_and_the_new_one_is_announced_before_it_signs() {
        let old = key("old", 0, None);
        assert!(Plan::of(std::slice::from_ref(&old), LIVES, at(86_400)).create);
        let rows = [old, key("new", 86_400, None)];
        let plan = Plan::of(&rows, LIVES, at(86_400));
        assert_eq!(
            plan,
            Plan { retire: vec![("old".into(), at(86_400 + 600 + 15 + 120))], ..Plan::default() }
        );
        let rows = [key("old", 0, Some(86_400 + 735)), key("new", 86_400, None)];
        assert_eq!(signer_at(&rows, 86_401), "old");
        assert_eq!(signer_at(&rows, 86_416), "new");
    }

    #[test]
    fn every_token_ends_before_its_key() {
        let rows = [key("old", 0, Some(1_000)), key("new", 399, None)];
        assert_eq!(signer_at(&rows, 400), "old");
        assert_eq!(signer_at(&rows, 401), "new", "a token of the old key would outlive it");
    }

    #[test]
    fn a_key_whose_end_is_past_is_forgotten() {
        let rows = [key("old", 0, Some(100)), key("new", 50, None)];
        assert_eq!(Plan::of(&rows, LIVES, at(100)).forget, ["old"]);
        assert!(Plan::of(&rows, LIVES, at(99)).is_empty());
    }

    #[test]
    fn of_two_keys_made_at_once_all_services_keep_the_same_one() {
        let rows = [key("b", 0, None), key("a", 0, None)];
        let retired: Vec<_> = Plan::of(&rows, LIVES, at(1)).retire.into_iter().map(|(id, _)| id).collect();
        assert_eq!(retired, ["a"]);
        assert_eq!(signer_at(&rows, 20), "b");
    }

    #[test]
    fn seconds_are_rounded_up_and_never_negative() {
        assert_eq!(seconds_left(Timestamp::from_millis(1_001), at(0)), 2);
        assert_eq!(seconds_left(at(1), at(5)), 0);
    }
}
