use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use protocol::search::{FindQuery, Search};
use protocol::subject::Shard;
use protocol::{StreamIdentity, Timestamp};
use sealing::Key as Secret;
use tempfile::TempDir;
use text_analysis::Matcher;

use super::*;
use crate::checkpoint::Point;
use crate::finding::find;

struct Bench {
    temp: TempDir,
    secret: Secret,
    index: Index,
    writer: Option<Writer>,
}

fn room(name: &str) -> RoomSlug {
    RoomSlug::parse(name).unwrap()
}

fn message(seq: u64, author: UserId, text: &str) -> Message {
    let at = Timestamp::from_millis(1_000 * seq.cast_signed());
    Message { key: Key::new(Shard(0), seq), room: room("tea"), author, at, text: text.to_owned() }
}

impl Bench {
    fn new() -> Self {
        let (temp, secret) = (tempfile::tempdir().unwrap(), Secret::random().unwrap());
        let (index, writer, checkpoint) =
            Index::open(temp.path(), FileKey::derive(&secret), 1 << 20).unwrap();
        assert_eq!(checkpoint, Checkpoint::default());
        Self { temp, secret, index, writer: Some(writer) }
    }

    fn again(&mut self) -> Result<Checkpoint, Fault> {
        drop(self.writer.take());
        let (index, writer, checkpoint) =
            Index::open(self.temp.path(), FileKey::derive(&self.secret), 1 << 20)?;
        (self.index, self.writer) = (index, Some(writer));
        Ok(checkpoint)
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().unwrap()
    }

    fn change(&mut self, changes: &[Change]) {
        self.writer().apply(changes).unwrap();
        self.writer().commit(&Checkpoint::default()).unwrap();
    }

    fn ask(&self, text: &str, change: impl FnOnce(&mut FindQuery)) -> Vec<u64> {
        let wanted = Search::parse(text, 0).map(|search| search.wanted).unwrap_or_default();
        let mut query = FindQuery {
            rooms: vec![room("tea"), room("cake")],
            wanted,
            from: Vec::new(),
            since: None,
            before: None,
            as_of: None,
            offset: 0,
            limit: 20,
        };
        change(&mut query);
        let as_of = query.as_of.unwrap_or(Timestamp::from_millis(1_000_000));
        let found = find(&self.index, (&query, as_of), None).unwrap();
        found.hits.iter().map(|hit| hit.seq).collect()
    }

    fn find(&self, text: &str) -> Vec<u64> {
        self.ask(text, |_| {})
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.temp.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn messages_are_found_by_words_stems_phrases_and_beginnings() {
    let (mut bench, me) = (Bench::new(), UserId::new());
    let texts = ["Running late for tea", "nous mangeons à l’été", "hot tea, please", "東京都に行く", "ok 👍"];
    let messages = (1..).zip(texts).map(|(seq, text)| Change::Put(message(seq, me, text)));
    bench.change(&messages.collect::<Vec<_>>());
    for (text, found) in [
        ("runs", &[1][..]),
        ("tea", &[3, 1]),
        ("tea late", &[1]),
        ("mangeons", &[2]),
        ("ETE", &[2]),
        ("\"hot tea\"", &[3]),
        ("\"tea hot\"", &[]),
        ("plea*", &[3]),
        ("京都", &[4]),
        ("都", &[4]),
        ("東京都", &[4]),
        ("👍", &[5]),
        ("coffee", &[]),
        ("!?", &[]),
    ] {
        assert_eq!(bench.find(text), found, "{text}");
    }
}

#[test]
fn only_the_rooms_people_and_times_that_are_asked_for_are_found() {
    let (mut bench, me, you) = (Bench::new(), UserId::new(), UserId::new());
    let elsewhere = Message { room: room("secret"), ..message(3, me, "tea") };
    bench.change(&[
        Change::Put(message(1, me, "tea")),
        Change::Put(message(2, you, "tea")),
        Change::Put(elsewhere),
    ]);
    assert_eq!(bench.find("tea"), [2, 1]);
    assert_eq!(bench.ask("tea", |query| query.rooms = vec![room("secret")]), [3]);
    assert_eq!(bench.ask("tea", |query| query.rooms = Vec::new()), [0; 0]);
    assert_eq!(bench.ask("tea", |query| query.since = Some(Timestamp::from_millis(2_000))), [2]);
    assert_eq!(bench.ask("tea", |query| query.before = Some(Timestamp::from_millis(2_000))), [1]);
    assert_eq!(bench.ask("tea", |query| query.as_of = Some(Timestamp::from_millis(1_500))), [1]);
    assert_eq!(bench.ask("", |_| {}), [2, 1], "without words the newest come first");
    let query = FindQuery {
        rooms: vec![room("tea")],
        wanted: Vec::new(),
        from: Vec::new(),
        since: None,
        before: None,
        as_of: None,
        offset: 0,
        limit: 1,
    };
    let mine = find(&bench.index, (&query, Timestamp::from_millis(9_000)), Some(&[me])).unwrap();
    assert_eq!((mine.hits[0].seq, mine.hits.len(), mine.more), (1, 1, false));
    assert!(find(&bench.index, (&query, Timestamp::from_millis(9_000)), None).unwrap().more);
    let nobody = find(&bench.index, (&query, Timestamp::from_millis(9_000)), Some(&[])).unwrap();
    assert!(nobody.hits.is_empty());
}

#[test]
fn better_matches_come_first_however_new_the_others_are() {
    let (mut bench, me) = (Bench::new(), UserId::new());
    let texts = [
        "tea, tea and more tea",
        "tea and cake",
        "of the garden, the weather, the trains and, before it was time to go home again, of tea",
        "who runs here?",
        "who running here?",
    ];
    let messages = (1..).zip(texts).map(|(seq, text)| Change::Put(message(seq, me, text)));
    bench.change(&messages.collect::<Vec<_>>());
    assert_eq!(bench.find("tea"), [1, 2, 3], "who speaks of nothing else, then who speaks of little else");
    assert_eq!(bench.find("runs"), [4, 5], "the word itself before other forms of it");
    // What is said again later is as good, and newer.
    bench.change(&[Change::Put(message(6, me, texts[0]))]);
    assert_eq!(bench.find("tea"), [6, 1, 2, 3]);
    assert_eq!(bench.ask("tea", |query| query.limit = 2), [6, 1], "a page has the best of all");
}

#[test]
fn pages_follow_each_other_and_end() {
    let (mut bench, me) = (Bench::new(), UserId::new());
    let messages: Vec<_> = (1..=50).map(|seq| Change::Put(message(seq, me, "tea"))).collect();
    bench.change(&messages);
    let page = |offset| bench.ask("tea", |query| query.offset = offset);
    let pages = [page(0), page(20), page(40)].concat();
    assert_eq!(pages, (1..=50).rev().collect::<Vec<_>>());
    assert!(page(60).is_empty());
}

#[test]
fn what_is_edited_deleted_or_erased_is_found_no_more() {
    let (mut bench, me, you) = (Bench::new(), UserId::new(), UserId::new());
    let elsewhere = Message { room: room("cake"), ..message(4, me, "tea") };
    let messages = [message(1, me, "tea"), message(2, me, "tea"), message(3, you, "tea"), elsewhere];
    bench.change(&messages.map(Change::Put));
    bench.change(&[Change::Replace(message(1, me, "coffee")), Change::Remove(Key::new(Shard(0), 2))]);
    assert_eq!((bench.find("tea"), bench.find("coffee")), (vec![4, 3], vec![1]));
    bench.change(&[Change::RemoveAuthor(me, Some(room("tea")))]);
    assert_eq!((bench.find("tea"), bench.find("coffee")), (vec![4, 3], vec![]));
    bench.change(&[Change::RemoveRoom(room("tea"))]);
    assert_eq!(bench.find("tea"), [4]);
    bench.change(&[Change::RemoveAuthor(me, None)]);
    assert!(bench.find("tea").is_empty());
    while bench.writer().sweep().unwrap() {}
    assert_eq!(bench.index.messages(), 0);
    assert!(bench.index.searcher().segment_readers().iter().all(|segment| !segment.has_deletes()));
}

#[test]
fn index_and_checkpoint_are_of_one_moment() {
    let (mut bench, me) = (Bench::new(), UserId::new());
    let mut checkpoint = Checkpoint::default();
    checkpoint.set(Shard(0), Point { applied: 1, ..Point::beginning(StreamIdentity(7)) });
    bench.writer().apply(&[Change::Put(message(1, me, "tea"))]).unwrap();
    bench.writer().commit(&checkpoint).unwrap();
    bench.writer().apply(&[Change::Put(message(2, me, "tea"))]).unwrap();
    assert_eq!(bench.again().unwrap(), checkpoint, "what was not committed is read again");
    assert_eq!(bench.find("tea"), [1]);
}

#[test]
fn no_word_is_on_the_disk_in_any_form() {
    let (mut bench, me) = (Bench::new(), UserId::new());
    bench.change(&[Change::Put(message(1, me, "Needlesque ÉTÉQUEMENT haystacking"))]);
    bench.change(&[Change::Put(message(2, me, "other"))]);
    assert!(bench.files().len() > 3);
    for file in bench.files() {
        let bytes = fs::read(&file).unwrap().to_ascii_lowercase();
        for needle in ["needlesque", "needlesqu", "etequement", "haystack", "words", "segment"] {
            assert!(!bytes.windows(needle.len()).any(|it| it == needle.as_bytes()), "{needle} in {file:?}");
        }
    }
}

#[test]
fn an_index_that_is_not_as_it_was_written_is_unusable() {
    for spoiled in ["meta.json", ".term", ".idx", ".fast"] {
        let (mut bench, me) = (Bench::new(), UserId::new());
        bench.change(&[Change::Put(message(1, me, "tea"))]);
        drop(bench.writer.take());
        let mut files = bench.files();
        files.retain(|file| file.to_string_lossy().ends_with(spoiled));
        assert!(!files.is_empty(), "{spoiled}");
        for file in files {
            let mut bytes = fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&file, bytes).unwrap();
        }
        match bench.again() {
            Err(Fault::Unusable(_)) => {}
            Err(Fault::Failed(why)) => panic!("{spoiled}: {why}"),
            Ok(_) => {
                let wanted = Search::parse("tea", 0).unwrap().wanted;
                let query = FindQuery {
                    rooms: vec![room("tea")],
                    wanted,
                    from: Vec::new(),
                    since: None,
                    before: None,
                    as_of: None,
                    offset: 0,
                    limit: 20,
                };
                assert!(
                    find(&bench.index, (&query, Timestamp::from_millis(9_000)), None).is_err(),
                    "{spoiled}"
                );
                assert!(bench.index.folder.is_forged(), "{spoiled}");
            }
        }
    }
}

fn a_word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "run",
        "running",
        "Runs",
        "été",
        "etes",
        "l’été",
        "tea",
        "teas",
        "東京",
        "東京都",
        "都",
        "京",
        "👍",
        "week-end",
        "x1",
        "mangées",
        "manger",
        "it's",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The gateway reads each hit again and shows what matches: both must mean the same.
    #[test]
    fn the_index_finds_what_the_analysis_of_a_text_says(
        texts in prop::collection::vec(prop::collection::vec(a_word(), 1..6), 1..12),
        queries in prop::collection::vec(prop::collection::vec(a_word(), 1..3), 1..12),
        kind in 0..3,
    ) {
        let (mut bench, me) = (Bench::new(), UserId::new());
        let texts: Vec<_> = texts.iter().map(|words| words.join(" ")).collect();
        let messages = (1..).zip(&texts).map(|(seq, text)| Change::Put(message(seq, me, text)));
        bench.change(&messages.collect::<Vec<_>>());
        for words in queries {
            let query = match kind {
                0 => words.join(" "),
                1 => format!("\"{}\"", words.join(" ")),
                _ => words.iter().map(|word| format!("{word}*")).collect::<Vec<_>>().join(" "),
            };
            let matcher = Matcher::new(&Search::parse(&query, 0).unwrap().wanted);
            let is_it = |text: &String| matcher.find(text).is_some();
            let said: Vec<u64> = (1..).zip(&texts).filter(|(_, text)| is_it(text)).map(|(seq, _)| seq).collect();
            let mut found = bench.find(&query);
            found.sort_unstable();
            prop_assert_eq!(found, said, "{}", query);
        }
    }
}
