//! What the index has of a message: its words, and enough to say where it is and who may see it. Not its text.

use protocol::subject::Shard;
use protocol::{RoomSlug, Timestamp, UserId};
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{TantivyDocument, Term};
use text_analysis::{Kind, stems, tokens};

/// Bits of a key that are the sequence.
const SEQ_BITS: u32 = 48;

/// Which message: its shard and its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u64);

impl Key {
    pub const fn new(shard: Shard, seq: u64) -> Self {
        Self(((shard.0 as u64) << SEQ_BITS) | (seq & ((1 << SEQ_BITS) - 1)))
    }

    /// What no key of the same shard is less than.
    pub const fn first_of_shard(self) -> Self {
        Self(self.0 & !((1 << SEQ_BITS) - 1))
    }

    pub const fn seq(self) -> u64 {
        self.0 & ((1 << SEQ_BITS) - 1)
    }
}

/// A message that can be found.
#[derive(Clone)]
pub struct Message {
    pub key: Key,
    pub room: RoomSlug,
    pub author: UserId,
    pub at: Timestamp,
    pub text: String,
}

/// The fields of the index.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    pub key: Field,
    pub room: Field,
    pub author: Field,
    pub at: Field,
    /// Tokens in their folded form, with their places.
    pub words: Field,
    pub stems: Field,
}

/// The fields that are read for each hit, by name.
pub const KEY: &str = "key";
pub const ROOM: &str = "room";
pub const AUTHOR: &str = "author";
pub const AT: &str = "at";

impl Fields {
    pub fn schema() -> (Schema, Self) {
        let text = |option| {
            let indexing = TextFieldIndexing::default().set_tokenizer("raw").set_index_option(option);
            TextOptions::default().set_indexing_options(indexing)
        };
        let mut schema = Schema::builder();
        let fields = Self {
            key: schema.add_u64_field(KEY, INDEXED | FAST),
            room: schema.add_u64_field(ROOM, INDEXED | FAST),
            author: schema.add_u64_field(AUTHOR, INDEXED | FAST),
            at: schema.add_i64_field(AT, FAST),
            words: schema.add_text_field("words", text(IndexRecordOption::WithFreqsAndPositions)),
            stems: schema.add_text_field("stems", text(IndexRecordOption::WithFreqs)),
        };
        (schema.build(), fields)
    }

    pub fn document(&self, message: &Message) -> TantivyDocument {
        let tokens = tokens(&message.text);
        let stemmed = tokens.iter().filter(|token| token.kind == Kind::Word);
        let stems = stemmed.flat_map(|token| {
            stems(&message.text[token.range.clone()]).into_iter().map(|stem| (stem, token.position))
        });
        let stems = placed(stems);
        let words = placed(tokens.iter().map(|token| (token.folded.clone(), token.position)));
        let mut document = TantivyDocument::default();
        document.add_u64(self.key, message.key.0);
        document.add_u64(self.room, room_number(&message.room));
        document.add_u64(self.author, author_number(message.author));
        document.add_i64(self.at, message.at.as_millis());
        document.add_pre_tokenized_text(self.words, words);
        document.add_pre_tokenized_text(self.stems, stems);
        document
    }

    pub fn key_term(&self, key: Key) -> Term {
        Term::from_field_u64(self.key, key.0)
    }
    pub fn room_term(&self, room: &RoomSlug) -> Term {
        Term::from_field_u64(self.room, room_number(room))
    }
    pub fn author_term(&self, author: UserId) -> Term {
        Term::from_field_u64(self.author, author_number(author))
    }
}

fn placed(tokens: impl Iterator<Item = (String, usize)>) -> PreTokenizedString {
    let tokens = tokens.map(|(text, position)| Token { position, text, ..Token::default() });
    PreTokenizedString { text: String::new(), tokens: tokens.collect() }
}

/// What stands for a room in the index (FNV-1a of its slug). Were two rooms to share one, a hit in the wrong one is no row of it, and
/// the gateway drops it.
pub fn room_number(room: &RoomSlug) -> u64 {
    room.as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What stands for a person in the index: the half of their id that is random.
pub fn author_number(author: UserId) -> u64 {
    author.0.as_u64_pair().1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_shard_and_a_sequence() {
        let keys = [Key::new(Shard(0), 5), Key::new(Shard(1), 4), Key::new(Shard(7), 1 << 40)];
        assert_eq!(keys.map(Key::seq), [5, 4, 1 << 40]);
        assert!(keys.windows(2).all(|two| two[0] < two[1]));
    }
}
