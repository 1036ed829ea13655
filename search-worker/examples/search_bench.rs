//! How fast an index is made and searched:
//! `cargo run --release --package search-worker --example search_bench -- [messages] [seed] [rooms]`: a million messages in a thousand
//! rooms when nothing is said.
//!
//! Texts are drawn from a vocabulary whose words are as unequally frequent as those of a language (Zipf). A question goes the way that
//! one of a gateway goes, but for the broker: JSON, conditions, the sealed index, JSON.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for a person who measures")]

use std::path::Path;
use std::time::{Duration, Instant};

use protocol::search::{FindQuery, Found, Search, SearchAnswer, SearchQuery};
use protocol::subject::Shard;
use protocol::{RoomSlug, Timestamp, UserId};
use sealing::{FileKey, Key as Secret};
use search_worker::checkpoint::Checkpoint;
use search_worker::finding::find;
use search_worker::index::{Change, Index, Writer};
use search_worker::schema::{Key, Message};

const VOCABULARY: usize = 60_000;
const ROOMS: usize = 1_000;
/// Rooms that one person is in, at most: those in which most is said.
const MINE_MAX: usize = 1_000;
const AUTHORS: usize = 2_000;
/// Messages that are committed together while the index is made.
const BATCH: u64 = 50_000;
const CACHE_BYTES: usize = 256 << 20;
const ASKED: usize = 400;
/// Two years, over which the messages are spread.
const SPAN_MS: i64 = 2 * 365 * 86_400_000;
const BEGAN_MS: i64 = 1_700_000_000_000;

/// SplitMix64: the same seed gives the same messages.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A place below `end`, the first ones by far the most often.
    fn zipf(&mut self, end: usize) -> usize {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((end as f64).powf(unit) as usize).saturating_sub(1).min(end - 1)
    }
}

struct World {
    words: Vec<String>,
    rooms: Vec<RoomSlug>,
    authors: Vec<UserId>,
    messages: u64,
}

impl World {
    fn new(messages: u64, rooms: usize, random: &mut Random) -> Self {
        const SOUNDS: [&str; 24] = [
            "ta", "re", "mi", "son", "ble", "dor", "ing", "ver", "qui", "pla", "ché", "lu", "na", "fo",
            "gri", "ster", "ment", "és", "wor", "kel", "zu", "ah", "tion", "ed",
        ];
        let word = |random: &mut Random| {
            (0..2 + random.below(3)).map(|_| SOUNDS[random.below(SOUNDS.len())]).collect::<String>()
        };
        let words = (0..VOCABULARY).map(|_| word(random)).collect();
        let rooms = (0..rooms).map(|n| RoomSlug::parse(&format!("room_{n}")).unwrap()).collect();
        Self { words, rooms, authors: (0..AUTHORS).map(|_| UserId::new()).collect(), messages }
    }

    fn message(&self, seq: u64, random: &mut Random) -> Message {
        let text: Vec<_> = (0..3 + random.below(22)).map(|_| self.word(random)).collect();
        let at = BEGAN_MS + SPAN_MS * seq.cast_signed() / self.messages.cast_signed();
        Message {
            key: Key::new(Shard(0), seq),
            room: self.rooms[random.zipf(self.rooms.len())].clone(),
            author: self.authors[random.zipf(AUTHORS)],
            at: Timestamp::from_millis(at),
            text: text.join(" "),
        }
    }

    /// How many rooms whoever asks is in.
    fn mine(&self) -> usize {
        self.rooms.len().min(MINE_MAX)
    }

    fn word(&self, random: &mut Random) -> &str {
        &self.words[random.zipf(VOCABULARY)]
    }
}

fn fill(world: &World, writer: &mut Writer, random: &mut Random) {
    let began = Instant::now();
    let mut seq = 0;
    while seq < world.messages {
        let end = (seq + BATCH).min(world.messages);
        let batch: Vec<_> = (seq + 1..=end).map(|seq| Change::Put(world.message(seq, random))).collect();
        writer.apply(&batch).map_err(|_| "the index can't be written").unwrap();
        writer.commit(&Checkpoint::default()).map_err(|_| "the index can't be committed").unwrap();
        seq = end;
    }
    let took = began.elapsed();
    let rate = world.messages as f64 / took.as_secs_f64();
    println!("{} messages in {:.1} s: {rate:.0} a second", world.messages, took.as_secs_f64());
}

/// One kind of question, made anew each time.
struct Kind<'a> {
    name: &'static str,
    rooms: usize,
    authors: Option<Vec<UserId>>,
    text: Box<dyn Fn(&mut Random) -> String + 'a>,
}

fn kinds(world: &World) -> Vec<Kind<'_>> {
    let (all, some) = (world.mine(), world.mine().min(20));
    let kind =
        |name, rooms, text: Box<dyn Fn(&mut Random) -> String>| Kind { name, rooms, authors: None, text };
    let word = |from: usize, to: usize| {
        move |random: &mut Random| world.words[from + random.below(to - from)].clone()
    };
    let two = |random: &mut Random| format!("{} {}", world.word(random), world.word(random));
    let beginning = |random: &mut Random| {
        let word: String = world.word(random).chars().take(4).collect();
        format!("{word}*")
    };
    let mut mine = kind("nothing but from:", all, Box::new(|_| String::new()));
    mine.authors = Some(vec![world.authors[40]]);
    let mut theirs = kind("a word and from:", all, Box::new(word(0, 1_000)));
    theirs.authors = Some(vec![world.authors[3]]);
    vec![
        kind("one of the 20 most frequent words, all rooms", all, Box::new(word(0, 20))),
        kind("one of the 20 most frequent words, 20 rooms", some, Box::new(word(0, 20))),
        kind("a word, all rooms", all, Box::new(|random| world.word(random).to_owned())),
        kind("a rare word, all rooms", all, Box::new(word(VOCABULARY / 2, VOCABULARY))),
        kind("two words, all rooms", all, Box::new(two)),
        kind(
            "three words, 20 rooms",
            some,
            Box::new(move |random| format!("{} {}", two(random), world.word(random))),
        ),
        kind("a phrase of two words, all rooms", all, Box::new(move |random| format!("\"{}\"", two(random)))),
        kind("a beginning of four letters, all rooms", all, Box::new(beginning)),
        kind(
            "a word and days, all rooms",
            all,
            Box::new(move |random| format!("{} after:2024-06-01", world.word(random))),
        ),
        theirs,
        mine,
        kind("nothing but one room", 1, Box::new(|_| String::new())),
    ]
}

fn ask(index: &Index, question: &[u8], authors: Option<&[UserId]>, as_of: Timestamp) -> usize {
    let SearchQuery::Find(query) = serde_json::from_slice(question).unwrap() else { return 0 };
    let best = find(index, (&query, as_of), authors).unwrap();
    let found = best.hits.len();
    let answer = Found { hits: best.hits, more: best.more, complete: true, as_of };
    let written = serde_json::to_vec(&SearchAnswer::Found(answer)).unwrap();
    assert!(!written.is_empty());
    found
}

fn measure(world: &World, index: &Index, kind: &Kind<'_>, random: &mut Random) -> Vec<Duration> {
    let as_of = Timestamp::from_millis(BEGAN_MS + SPAN_MS);
    let (mut times, mut hits) = (Vec::new(), 0);
    for _ in 0..ASKED {
        let search = Search::parse(&(kind.text)(random), 0).unwrap_or_default();
        let of = world.mine();
        let from = if kind.rooms == of { 0 } else { random.below(of - kind.rooms) };
        let query = FindQuery {
            rooms: world.rooms[from..from + kind.rooms].to_vec(),
            wanted: search.wanted,
            from: Vec::new(),
            since: search.since,
            before: search.before,
            as_of: None,
            offset: 0,
            limit: 20,
        };
        let question = serde_json::to_vec(&SearchQuery::Find(query)).unwrap();
        let began = Instant::now();
        hits += ask(index, &question, kind.authors.as_deref(), as_of);
        times.push(began.elapsed());
    }
    times.sort();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64() * 1_000.0;
    let (p50, p95, p99, worst) = (at(50), at(95), at(99), at(100));
    let mean = hits as f64 / ASKED as f64;
    println!("{:<46} {p50:>8.2} {p95:>8.2} {p99:>8.2} {worst:>8.2} {mean:>6.1}", kind.name);
    times
}

fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

fn open(path: &Path, secret: &Secret) -> (Index, Writer) {
    let opened = Index::open(path, FileKey::derive(secret), CACHE_BYTES);
    let (index, writer, _) = opened.map_err(|_| "the index can't be opened").unwrap();
    (index, writer)
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (messages, seed) = (arguments.next().unwrap_or(1_000_000), arguments.next().unwrap_or(1));
    let rooms = arguments.next().map_or(ROOMS, |rooms| usize::try_from(rooms).unwrap()).max(1);
    let mut random = Random(seed);
    let world = World::new(messages, rooms, &mut random);
    let (folder, secret) = (tempfile::tempdir().unwrap(), Secret::random().unwrap());
    let (index, mut writer) = open(folder.path(), &secret);
    fill(&world, &mut writer, &mut random);
    writer.close();
    drop(index);
    // What answers was opened anew, as after a start.
    let (index, writer) = open(folder.path(), &secret);
    let segments = index.searcher().segment_readers().len();
    println!("{} MiB on the disk, {segments} segments, seed {seed}", index.folder.bytes() >> 20);
    println!("{:<46} {:>8} {:>8} {:>8} {:>8} {:>6}", "ms", "p50", "p95", "p99", "worst", "hits");
    let mut all = Vec::new();
    for kind in kinds(&world) {
        all.extend(measure(&world, &index, &kind, &mut random));
    }
    all.sort();
    let p95 = all[all.len() * 95 / 100].as_secs_f64() * 1_000.0;
    println!("all kinds together: p95 {p95:.2} ms; at most {} MiB of memory", memory_mib());
    writer.close();
}
