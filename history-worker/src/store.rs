//! The history in SurrealDB. The only place that names the database, and the home of all its queries.
//!
//! Tables, all with record ids that are the only way to a row (no secondary index):
//!
//! | record | holds |
//! |---|---|
//! | `event:[room, generation, number]` | a row as it is now; a page is a range of numbers |
//! | `sent:[room, generation, id, author]` | where the event with that id is, so that a copy is known and a message is found |
//! | `reaction:[room, generation, number, reaction, user]` | a reaction to the message with that number, and when it was given |
//! | `change:[room, generation, sequence]` | an event that changed a row, without a text |
//! | `text:[room, generation, sequence of the message, sequence]` | where the log holds a text of a message: an edit, or a copy |
//! | `erase:[shard, sequence]` | an entry that must go from the log, until it is gone |
//! | `ended:[shard, sequence]` | a room that was erased, until nothing is left of it |
//! | `expired:[shard, sequence]` | that all of a room up to a sequence has expired, until it is gone |
//! | `keep:[shard, room]` | a room that does not keep things for ever, and when it is to be looked at |
//! | `room:[room]` | creator, the first and the last row's numbers, the last message, and the generation that is read |
//! | `checkpoint:[shard]` | how far the shard's log is applied |
//! | `aside:[shard, sequence]` | an entry of the log that can't be applied, with its reason |
//! | `replay:[shard]` | what is made anew, and how far that is |
//! | `stale:[shard, room]` | a room that was made anew, whose rows under older generations are to be deleted |
//! | `seed:[shard, room]` | a room that a snapshot gives back, until it is made from there on |
//! | `meta:schema` | the version of this layout |
//! | `meta:['snapshot', shard]` | when the last snapshot was taken |
//! | `meta:['seeding', shard]` | what a snapshot gives back just now |
//! | `meta:['verified', shard]` | when all of it was last compared with the log, and what came of it |
//! | `meta:['verifying', shard, for whom]` | how far such a comparison has come |

mod address;
mod answer;
mod aside_rows;
mod change_rows;
mod connection;
mod error;
mod event_rows;
mod examine;
mod expiry_rows;
mod read;
mod remote;
mod replay_rows;
mod rows;
mod schema;
mod seed_rows;
mod snapshot_rows;
pub mod tables;
mod verify_rows;
mod write;

pub use address::{BadAddress, DatabaseAddress};
pub use answer::{Rising, message};
pub use error::StoreError;
pub use examine::examine;
pub use expiry_rows::Expiring;
pub use read::{Asides, Waiting};
pub use replay_rows::Stale;
pub use schema::HISTORY;

use connection::Connection;

/// The history database. Clones share one connection.
#[derive(Clone)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the database and makes its tables where they are missing.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when it can't be used as it is, others of [`StoreError`] when it can't be reached.
    pub async fn open(address: &DatabaseAddress) -> Result<Self, StoreError> {
        let connection = Box::pin(Connection::open(address)).await?;
        let store = Self { connection };
        store.prepare().await?;
        Ok(store)
    }

    /// Opens a database into which a snapshot is to be restored.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_to_restore(address: &DatabaseAddress) -> Result<Self, StoreError> {
        let connection = Box::pin(Connection::open(address)).await?;
        let store = Self { connection };
        store.make_tables().await?;
        Ok(store)
    }

    /// The history as it is at this moment, whatever is written meanwhile; nothing can be written through it.
    ///
    /// # Errors
    /// Any of [`StoreError`].
    pub async fn moment(&self) -> Result<Self, StoreError> {
        Ok(Self { connection: self.connection.moment().await? })
    }

    /// Lets such a moment go.
    pub async fn pass(self) {
        self.connection.pass().await;
    }

    /// Lets the database go. An embedded one can be opened again afterwards.
    pub async fn close(self) {
        self.connection.close().await;
    }
}

#[cfg(test)]
mod tests;
