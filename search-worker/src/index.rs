//! The index: where messages are put in, and where they are found. The only file beside `finding` that knows how tantivy works.

use std::ops::Bound;
use std::path::Path;

use protocol::{RoomSlug, UserId};
use sealing::FileKey;
use tantivy::indexer::LogMergePolicy;
use tantivy::query::{BooleanQuery, Occur, Query, RangeQuery, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyError, Term};

use crate::checkpoint::Checkpoint;
use crate::schema::{Fields, Key, Message};
use crate::sealed_folder::SealedFolder;

/// Memory of what is put in and not committed yet.
const WRITER_BYTES: usize = 48 << 20;
/// Segments with so many messages are not merged any more, so that what is deleted in one is soon written anew.
const SEGMENT_MESSAGES_MAX: usize = 40_000;
const LOCKS: [&str; 2] = [".tantivy-writer.lock", ".tantivy-meta.lock"];

/// What is done to the index.
pub enum Change {
    Put(Message),
    /// A message has another text.
    Replace(Message),
    Remove(Key),
    /// Everything of a room up to a sequence.
    RemoveUpTo(RoomSlug, Key),
    /// Everything of a person, in one room or in all.
    RemoveAuthor(UserId, Option<RoomSlug>),
    RemoveRoom(RoomSlug),
}

/// Why an index can't be used.
#[derive(Debug)]
pub enum Fault {
    /// It is not as it was written, or of another format: it has to be made anew.
    Unusable(String),
    /// It could not be read or written now.
    Failed(String),
}

/// The index as it is searched.
#[derive(Clone)]
pub struct Index {
    pub fields: Fields,
    pub folder: SealedFolder,
    index: tantivy::Index,
    reader: IndexReader,
}

/// The index as it is written, by one alone.
pub struct Writer {
    index: Index,
    writer: IndexWriter,
}

impl Index {
    /// Opens the index in a folder, or makes an empty one there.
    ///
    /// # Errors
    /// [`Fault`]. Nobody else may use the folder.
    pub fn open(path: &Path, key: FileKey, cache_bytes: usize) -> Result<(Self, Writer, Checkpoint), Fault> {
        // Of a process that was killed. Ours alone has the folder.
        for lock in LOCKS {
            let _ = std::fs::remove_file(path.join(lock));
        }
        let folder = SealedFolder::new(path, key, cache_bytes);
        let opened = Self::open_in(folder.clone());
        opened.map_err(|error| match error {
            TantivyError::IoError(_) | TantivyError::OpenWriteError(_) | TantivyError::LockFailure(..)
                if !folder.is_forged() =>
            {
                Fault::Failed(error.to_string())
            }
            _ => Fault::Unusable(error.to_string()),
        })
    }

    fn open_in(folder: SealedFolder) -> tantivy::Result<(Self, Writer, Checkpoint)> {
        let (schema, fields) = Fields::schema();
        let index = if tantivy::Index::exists(&folder)? {
            tantivy::Index::open(folder.clone())?
        } else {
            tantivy::Index::create(folder.clone(), schema.clone(), Default::default())?
        };
        let is_empty = index.load_metas()?.opstamp == 0;
        let checkpoint = match index.load_metas()?.payload {
            Some(payload) => Checkpoint::decode(&payload),
            None => is_empty.then(Checkpoint::default),
        };
        let checkpoint = checkpoint.filter(|_| index.schema() == schema);
        let checkpoint = checkpoint.ok_or_else(|| TantivyError::SchemaError("another format".into()))?;
        let writer = index.writer_with_num_threads(1, WRITER_BYTES)?;
        let mut merging = LogMergePolicy::default();
        merging.set_max_docs_before_merge(SEGMENT_MESSAGES_MAX);
        writer.set_merge_policy(Box::new(merging));
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let index = Self { fields, folder, index, reader };
        Ok((index.clone(), Writer { index, writer }, checkpoint))
    }

    pub fn searcher(&self) -> Searcher {
        self.reader.searcher()
    }

    /// Messages in it.
    pub fn messages(&self) -> u64 {
        self.searcher().num_docs()
    }

    fn fault(&self, error: &TantivyError) -> Fault {
        match error {
            _ if self.folder.is_forged() => Fault::Unusable(error.to_string()),
            TantivyError::DataCorruption(_) | TantivyError::IncompatibleIndex(_) => {
                Fault::Unusable(error.to_string())
            }
            _ => Fault::Failed(error.to_string()),
        }
    }
}

fn has(term: Term) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

impl Writer {
    /// Takes changes, in their order. They are found after the next commit.
    ///
    /// # Errors
    /// [`Fault`]; then nothing since the last commit is in the index.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.try_apply(changes).map_err(|error| self.index.fault(&error))
    }

    fn try_apply(&mut self, changes: &[Change]) -> tantivy::Result<()> {
        let fields = self.index.fields;
        for change in changes {
            match change {
                Change::Put(message) => drop(self.writer.add_document(fields.document(message))?),
                Change::Replace(message) => {
                    self.writer.delete_term(fields.key_term(message.key));
                    self.writer.add_document(fields.document(message))?;
                }
                Change::Remove(key) => drop(self.writer.delete_term(fields.key_term(*key))),
                Change::RemoveRoom(room) => drop(self.writer.delete_term(fields.room_term(room))),
                Change::RemoveAuthor(author, None) => {
                    self.writer.delete_term(fields.author_term(*author));
                }
                Change::RemoveAuthor(author, Some(room)) => {
                    let both = [has(fields.author_term(*author)), has(fields.room_term(room))];
                    self.remove_with(both)?;
                }
                Change::RemoveUpTo(room, last) => {
                    let ends =
                        [last.first_of_shard(), *last].map(|key| Bound::Included(fields.key_term(key)));
                    let [first, last] = ends;
                    self.remove_with([has(fields.room_term(room)), Box::new(RangeQuery::new(first, last))])?;
                }
            }
        }
        Ok(())
    }

    /// Removes what fits both.
    fn remove_with(&mut self, both: [Box<dyn Query>; 2]) -> tantivy::Result<()> {
        let both = both.map(|query| (Occur::Must, query));
        self.writer.delete_query(Box::new(BooleanQuery::new(both.into())))?;
        Ok(())
    }

    /// Everything that was taken is found from now on, and the index says that it is so far.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Fault> {
        let committed = self.writer.prepare_commit().and_then(|mut prepared| {
            prepared.set_payload(&checkpoint.encode());
            prepared.commit()
        });
        committed.and_then(|_| self.index.reader.reload()).map_err(|error| self.index.fault(&error))
    }

    /// Writes one segment anew that has deleted messages, so that their words leave the disk. Whether there was one:
    /// then there may be more.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn sweep(&mut self) -> Result<bool, Fault> {
        self.try_sweep().map_err(|error| self.index.fault(&error))
    }

    fn try_sweep(&mut self) -> tantivy::Result<bool> {
        let segments = self.index.index.searchable_segment_metas()?;
        let Some(segment) = segments.iter().find(|segment| segment.has_deletes()) else { return Ok(false) };
        let id = segment.id();
        drop(segments);
        match self.writer.merge(&[id]).wait() {
            // It is being merged with others already.
            Err(TantivyError::InvalidArgument(why)) => tracing::debug!(why, "a segment is swept later"),
            merged => drop(merged?),
        }
        self.index.reader.reload()?;
        self.writer.garbage_collect_files().wait()?;
        Ok(true)
    }

    /// Ends, and waits for what is merged.
    pub fn close(self) {
        if let Err(error) = self.writer.wait_merging_threads() {
            tracing::debug!(%error, "a merge did not end well");
        }
    }
}

#[cfg(test)]
mod tests;
