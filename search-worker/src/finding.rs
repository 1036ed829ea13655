//! Finding messages: conditions as queries of the index, those one may see among what matches, the best of them first.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Bound;
use std::sync::Arc;

use protocol::search::{FindQuery, Hit, SEARCH_HITS_MAX};
use protocol::{RoomSlug, Timestamp, UserId};
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, InvertedIndexRangeQuery, Occur, PhraseQuery, Query,
    TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader, Term};
use text_analysis::{Matcher, Pattern};

use crate::index::Index;
use crate::schema::{self, Fields, Key, author_number, room_number};

/// How much more a message counts that was written just now, and after how long half of that is gone.
const NEW_BONUS: f32 = 0.3;
const NEW_HALF_MS: f32 = 30.0 * 86_400_000.0;
/// How much less another form of a word counts than the one that is looked for.
const STEM_WEIGHT: Score = 0.5;

/// So many rooms, or people, are looked up; among more each match is compared with all of them.
const TERMS_MAX: usize = 24;

/// The hits of a page and whether more lie behind them.
pub struct Best {
    pub hits: Vec<Hit>,
    pub more: bool,
}

/// Looks in the rooms of a question, as of a moment; `authors` are those whom it names, if it names any.
///
/// # Errors
/// When the index can't be read.
pub fn find(
    index: &Index,
    (query, as_of): (&FindQuery, Timestamp),
    authors: Option<&[UserId]>,
) -> tantivy::Result<Best> {
    let wanted = (query.offset.saturating_add(query.limit)).min(SEARCH_HITS_MAX);
    let rooms: HashMap<u64, &RoomSlug> = query.rooms.iter().map(|room| (room_number(room), room)).collect();
    let matcher = Matcher::new(&query.wanted);
    let is_empty = wanted == 0 || rooms.is_empty() || authors.is_some_and(<[UserId]>::is_empty);
    if is_empty || (matcher.patterns().is_empty() && !query.wanted.is_empty()) {
        return Ok(Best { hits: Vec::new(), more: false });
    }
    let filter = Filter {
        rooms: rooms.keys().copied().collect(),
        authors: authors.map(|authors| authors.iter().map(|author| author_number(*author)).collect()),
        since: query.since.map_or(i64::MIN, Timestamp::as_millis),
        before: query.before.map_or(i64::MAX, Timestamp::as_millis),
        as_of: as_of.as_millis(),
    };
    // One more than is wanted, to know whether there are more.
    let collector =
        Ranked { filter: Arc::new(filter), wanted: wanted + 1, scores: !matcher.patterns().is_empty() };
    let conditions = conditions(&index.fields, &matcher, (query, authors));
    let found = index.searcher().search(&*conditions, &collector)?;
    let more = found.len() > wanted && wanted < SEARCH_HITS_MAX;
    let page = found.into_iter().take(wanted).skip(query.offset);
    let hits = page.filter_map(|ranked| {
        let room = (*rooms.get(&ranked.room)?).clone();
        Some(Hit { room, seq: ranked.key.seq(), score: ranked.score })
    });
    Ok(Best { hits: hits.collect(), more })
}

/// The conditions as queries. Few rooms or people are conditions too: their messages are then all that is looked at.
fn conditions(
    fields: &Fields,
    matcher: &Matcher,
    (query, authors): (&FindQuery, Option<&[UserId]>),
) -> Box<dyn Query> {
    let mut all: Vec<_> = matcher.patterns().iter().map(|pattern| condition(fields, pattern)).collect();
    if let Some(authors) = authors.filter(|authors| authors.len() <= TERMS_MAX) {
        all.push(any_of(authors.iter().map(|author| fields.author_term(*author))));
    }
    if query.rooms.len() <= TERMS_MAX {
        all.push(any_of(query.rooms.iter().map(|room| fields.room_term(room))));
    }
    match all.len() {
        0 => Box::new(AllQuery),
        1 => all.swap_remove(0),
        _ => Box::new(BooleanQuery::new(all.into_iter().map(|one| (Occur::Must, one)).collect())),
    }
}

/// One of these terms, which says nothing of how good a message is.
fn any_of(terms: impl Iterator<Item = Term>) -> Box<dyn Query> {
    let terms = terms.map(|term| {
        let has: Box<dyn Query> = Box::new(TermQuery::new(term, IndexRecordOption::Basic));
        (Occur::Should, has)
    });
    Box::new(ConstScoreQuery::new(Box::new(BooleanQuery::new(terms.collect())), 0.0))
}

fn condition(fields: &Fields, pattern: &Pattern) -> Box<dyn Query> {
    let term = |field: Field, text: &str| -> Box<dyn Query> {
        Box::new(TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::WithFreqs))
    };
    match pattern {
        Pattern::Word { folded, stems } if stems.is_empty() => term(fields.words, folded),
        Pattern::Word { folded, stems } => {
            let mut forms = vec![(Occur::Should, term(fields.words, folded))];
            forms.extend(stems.iter().map(|stem| {
                let stemmed = BoostQuery::new(term(fields.stems, stem), STEM_WEIGHT);
                (Occur::Should, Box::new(stemmed) as Box<dyn Query>)
            }));
            Box::new(BooleanQuery::new(forms))
        }
        Pattern::Phrase(words) => match &words[..] {
            [only] => term(fields.words, only),
            several => {
                let terms = several.iter().map(|word| Term::from_field_text(fields.words, word));
                Box::new(PhraseQuery::new(terms.collect()))
            }
        },
        Pattern::Prefix(prefix) => {
            let begin = Term::from_field_text(fields.words, prefix);
            // No text has this byte.
            let mut end = begin.clone();
            end.append_bytes(&[0xFF]);
            Box::new(InvertedIndexRangeQuery::new(Bound::Included(begin), Bound::Excluded(end)))
        }
    }
}

/// Numbers of rooms or people, which are as good as random already.
type Numbers = HashSet<u64, BuildHasherDefault<AsItIs>>;

#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Of what one person may see and asks for, beside the words.
struct Filter {
    rooms: Numbers,
    authors: Option<Numbers>,
    since: i64,
    before: i64,
    as_of: i64,
}

/// A message that matches, the better the greater.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankedHit {
    score: Score,
    at: i64,
    key: Key,
    room: u64,
}

impl Eq for RankedHit {}

impl Ord for RankedHit {
    /// By score; of equal ones the newer is better.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score.then(self.at.cmp(&other.at)).then(self.key.cmp(&other.key))
    }
}

impl PartialOrd for RankedHit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

struct Ranked {
    filter: Arc<Filter>,
    wanted: usize,
    /// Without words all are equal, and the newest are the best.
    scores: bool,
}

struct RankedSegment {
    filter: Arc<Filter>,
    wanted: usize,
    scores: bool,
    room: Column<u64>,
    author: Column<u64>,
    at: Column<i64>,
    key: Column<u64>,
    /// What matches, in the order in which it was put in.
    matching: Vec<(DocId, Score)>,
    /// The worst of the best on top.
    best: BinaryHeap<Reverse<RankedHit>>,
}

impl Collector for Ranked {
    type Fruit = Vec<RankedHit>;
    type Child = RankedSegment;

    fn for_segment(&self, _: SegmentOrdinal, segment: &SegmentReader) -> tantivy::Result<RankedSegment> {
        let columns = segment.fast_fields();
        Ok(RankedSegment {
            filter: Arc::clone(&self.filter),
            wanted: self.wanted,
            scores: self.scores,
            room: columns.u64(schema::ROOM)?,
            author: columns.u64(schema::AUTHOR)?,
            at: columns.i64(schema::AT)?,
            key: columns.u64(schema::KEY)?,
            matching: Vec::new(),
            best: BinaryHeap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        self.scores
    }

    fn merge_fruits(&self, found: Vec<Vec<RankedHit>>) -> tantivy::Result<Vec<RankedHit>> {
        let mut all: Vec<_> = found.into_iter().flatten().collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        all.truncate(self.wanted);
        Ok(all)
    }
}

impl SegmentCollector for RankedSegment {
    type Fruit = Vec<RankedHit>;

    fn collect(&mut self, doc: DocId, score: Score) {
        self.matching.push((doc, score));
    }

    /// The newest were put in last, and are looked at first: what is as good and older is then passed over.
    fn harvest(mut self) -> Vec<RankedHit> {
        for (doc, score) in std::mem::take(&mut self.matching).into_iter().rev() {
            self.consider(doc, score);
        }
        self.best.into_iter().map(|Reverse(hit)| hit).collect()
    }
}

impl RankedSegment {
    fn consider(&mut self, doc: DocId, score: Score) {
        // Most are not good enough, however new they are.
        let worst = self.best.peek().filter(|_| self.best.len() >= self.wanted);
        if self.scores && worst.is_some_and(|Reverse(worst)| worst.score > score * (1.0 + NEW_BONUS)) {
            return;
        }
        let Some(room) = self.room.first(doc).filter(|room| self.filter.rooms.contains(room)) else { return };
        let at = self.at.first(doc).unwrap_or(0);
        let is_in_time = (self.filter.since..self.filter.before).contains(&at) && at <= self.filter.as_of;
        if !is_in_time {
            return;
        }
        let is_theirs = |authors: &Numbers| self.author.first(doc).is_some_and(|it| authors.contains(&it));
        if !self.filter.authors.as_ref().is_none_or(is_theirs) {
            return;
        }
        let score = if self.scores { score * newness(self.filter.as_of - at) } else { 0.0 };
        if worst.is_some_and(|Reverse(worst)| (worst.score, worst.at) > (score, at)) {
            return;
        }
        let key = Key(self.key.first(doc).unwrap_or(0));
        self.best.push(Reverse(RankedHit { score, at, key, room }));
        if self.best.len() > self.wanted {
            self.best.pop();
        }
    }
}

/// By how much the score of a message rises that is so old.
fn newness(age_ms: i64) -> Score {
    let age = (age_ms.max(0) as f32) / NEW_HALF_MS;
    1.0 + NEW_BONUS / (1.0 + age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_counts_a_little_more() {
        assert!(newness(0) > newness(86_400_000));
        assert!(newness(-5) <= 1.0 + NEW_BONUS);
        assert!(newness(i64::MAX / 2) >= 1.0);
    }

    #[test]
    fn of_equal_ones_the_newer_is_better() {
        let hit = |score, at, key| RankedHit { score, at, key: Key(key), room: 0 };
        assert!(hit(2.0, 0, 0) > hit(1.0, 9, 9));
        assert!(hit(1.0, 2, 0) > hit(1.0, 1, 9));
        assert!(hit(1.0, 1, 2) > hit(1.0, 1, 1));
    }
}
