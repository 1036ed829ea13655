//! Against a real embedded database in a folder of its own.

use super::accounts::AccountRow;
use super::*;
use crate::rotation::{Chain, RefreshSecret, Salt, Step};
use protocol::{SessionId, Timestamp, UserId};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

struct Opened {
    store: Store,
    folder: TempDir,
}

fn url(folder: &TempDir) -> String {
    format!("surrealkv://{}?sync=every", folder.path().join("auth").display())
}

async fn open() -> Opened {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&url(&folder), PATIENCE).await.unwrap();
    Opened { store, folder }
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000)
}

fn account(name: &str) -> (NewAccount, Letter) {
    let user = UserId::new();
    let new = NewAccount {
        user,
        name: name.into(),
        name_keys: vec![name.to_lowercase(), format!("{name} other")],
        password_hash: "$argon2id$…".into(),
        at: now(),
    };
    (new, Letter::Profile { user, name: name.into() })
}

fn session(user: UserId) -> (SessionId, RefreshSecret, SessionRow) {
    let secret = RefreshSecret::new([7; 32]);
    let chain = Chain::new(&secret, now());
    let row = SessionRow { user, chain, created_at: now(), expires_at: now().plus_seconds(60) };
    (SessionId::new(), secret, row)
}

#[tokio::test]
async fn an_account_is_found_by_its_names_keys_and_its_profile_waits_to_be_told() {
    let opened = open().await;
    let (new, letter) = account("Alice");
    opened.store.create_account(&new, &letter).await.unwrap();
    let expected =
        AccountRow { user: new.user, name: "Alice".into(), password_hash: new.password_hash.clone() };
    for key in &new.name_keys {
        assert_eq!(opened.store.find_account(key).await, Ok(Some(expected.clone())));
    }
    assert_eq!(opened.store.find_account("bob").await, Ok(None));
    let letters = opened.store.letters(10).await.unwrap();
    assert_eq!(letters, [LetterRow { id: letter.id(), letter: Some(letter.clone()), written_at: now() }]);
    opened.store.letter_sent(&letter.id()).await.unwrap();
    assert_eq!(opened.store.letters(10).await, Ok(vec![]));
}

#[tokio::test]
async fn a_taken_name_leaves_no_trace_of_the_second_account() {
    let opened = open().await;
    let (first, letter) = account("Alice");
    opened.store.create_account(&first, &letter).await.unwrap();
    opened.store.letter_sent(&letter.id()).await.unwrap();
    let (mut second, letter) = account("Other");
    second.name_keys.push("alice".into());
    assert_eq!(opened.store.create_account(&second, &letter).await, Err(Error::Exists));
    assert_eq!(opened.store.find_account("other").await, Ok(None));
    assert_eq!(opened.store.letters(10).await, Ok(vec![]));
    assert_eq!(opened.store.find_account("alice").await.unwrap().unwrap().user, first.user);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_take_one_name_at_once_one_gets_it() {
    let opened = open().await;
    for round in 0..5 {
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let store = opened.store.clone();
                let (new, letter) = account(&format!("racer {round}"));
                tokio::spawn(async move { store.create_account(&new, &letter).await })
            })
            .collect();
        let mut won = 0;
        for racer in racers {
            match racer.await.unwrap() {
                Ok(()) => won += 1,
                Err(error) => assert_eq!(error, Error::Exists),
            }
        }
        assert_eq!(won, 1);
    }
}

#[tokio::test]
async fn a_session_is_kept_rotated_and_ended() {
    let opened = open().await;
    let (id, secret, row) = session(UserId::new());
    opened.store.create_session(id, &row).await.unwrap();
    assert_eq!(opened.store.find_session(id).await, Ok(Some(row.clone())));
    let later = now().plus_seconds(100);
    let Step::Rotate(_, chain) = row.chain.step(&secret, Salt::new([1; 32]), later) else {
        panic!("no rotation")
    };
    assert_eq!(opened.store.rotate_session(id, &row.chain.current, &chain, later).await, Ok(true));
    assert_eq!(
        opened.store.rotate_session(id, &row.chain.current, &chain, later).await,
        Ok(false),
        "only once"
    );
    let stored = opened.store.find_session(id).await.unwrap().unwrap();
    assert_eq!((stored.chain, stored.expires_at), (chain.clone(), later));
    let letter = Letter::Revocation { session: id, user: row.user, at: now() };
    opened.store.end_session(id, &letter, now()).await.unwrap();
    opened.store.end_session(id, &letter, now()).await.unwrap();
    assert_eq!(opened.store.find_session(id).await, Ok(None));
    assert_eq!(opened.store.rotate_session(id, &chain.current, &chain, later).await, Ok(false));
    assert_eq!(opened.store.letters(10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_rotate_one_secret_at_once_one_does() {
    let opened = open().await;
    let (id, secret, row) = session(UserId::new());
    opened.store.create_session(id, &row).await.unwrap();
    let racers: Vec<_> = (0..6)
        .map(|n| {
            let (store, expected) = (opened.store.clone(), row.chain.current.clone());
            let Step::Rotate(_, chain) = row.chain.step(&secret, Salt::new([n; 32]), now()) else {
                panic!("no rotation")
            };
            tokio::spawn(async move { store.rotate_session(id, &expected, &chain, now()).await })
        })
        .collect();
    let mut won = 0;
    for racer in racers {
        won += usize::from(racer.await.unwrap().unwrap());
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn sessions_whose_time_is_over_are_swept() {
    let opened = open().await;
    let (old, _, mut row) = session(UserId::new());
    opened.store.create_session(old, &row).await.unwrap();
    row.expires_at = now().plus_seconds(600);
    let fresh = SessionId::new();
    opened.store.create_session(fresh, &row).await.unwrap();
    opened.store.sweep_sessions(now().plus_seconds(61)).await.unwrap();
    assert_eq!(opened.store.find_session(old).await, Ok(None));
    assert!(opened.store.find_session(fresh).await.unwrap().is_some());
}

#[tokio::test]
async fn keys_are_kept_retired_once_and_forgotten() {
    let opened = open().await;
    let key = |id: &str, at| KeyRow {
        key_id: id.into(),
        secret: "c2VjcmV0".into(),
        created_at: at,
        retired_at: None,
    };
    opened.store.create_key(&key("two", now().plus_seconds(1))).await.unwrap();
    opened.store.create_key(&key("one", now())).await.unwrap();
    opened.store.retire_key("one", now().plus_seconds(9)).await.unwrap();
    opened.store.retire_key("one", now().plus_seconds(99)).await.unwrap();
    let keys = opened.store.keys().await.unwrap();
    let seen: Vec<_> = keys.iter().map(|key| (key.key_id.as_str(), key.retired_at)).collect();
    assert_eq!(seen, [("one", Some(now().plus_seconds(9))), ("two", None)]);
    opened.store.forget_key("one").await.unwrap();
    assert_eq!(opened.store.keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_stored_is_there_after_opening_again() {
    let Opened { store, folder } = open().await;
    let (new, letter) = account("Alice");
    store.create_account(&new, &letter).await.unwrap();
    store.close().await;
    let store = Store::open(&url(&folder), PATIENCE).await.unwrap();
    assert!(store.find_account("alice").await.unwrap().is_some());
}

#[tokio::test]
async fn a_newer_database_is_refused_and_left_alone() {
    let Opened { store, folder } = open().await;
    store.run("UPDATE schema SET version = 99; REMOVE TABLE outbox;", Variables::new()).await.unwrap();
    store.close().await;
    match Store::open(&url(&folder), PATIENCE).await {
        Err(Error::Setup(why)) => assert!(why.contains("version 99"), "{why}"),
        Err(other) => panic!("it was refused for another reason: {other}"),
        Ok(_) => panic!("a newer database was opened"),
    }
}

#[tokio::test]
async fn a_database_that_another_process_holds_is_not_opened() {
    let Opened { store: _held, folder } = open().await;
    let error = Store::open(&url(&folder), Duration::ZERO).await.err().unwrap();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("locked")), "{error:?}");
}
