//! The history in SurrealDB. The only place that names the database, and the home of all its queries.
//!
//! Tables, all with record ids that are the only way to a row (no secondary index):
//!
//! | record | holds |
//! |---|---|
//! | `event:[room, number]` | an event as it is now; a page is a range of numbers |
//! | `sent:[room, id, author]` | what was sent under that id, so that a copy is known, and what became of it |
//! | `change:[room, sequence]` | an edit, a deletion, a reaction; without its text, which the event's row has |
//! | `reaction:[room, number, reaction, user]` | a reaction that stands |
//! | `erase:[shard, sequence]` | a text that is still to be taken out of the log |
//! | `room:[room]` | name, creator, how many events, the last of them |
//! | `checkpoint:[shard]` | how far the shard's log is applied |
//! | `aside:[shard, sequence]` | an entry of the log that can't be applied, with its reason |
//! | `meta:schema` | the version of this layout |

mod address;
mod connection;
mod error;
mod read;
mod rows;
mod schema;
mod write;

pub use address::{BadAddress, DatabaseAddress};
pub use error::StoreError;
pub use rows::event_of;

use connection::Connection;

/// The history database. Clones share one connection.
#[derive(Clone)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the database and makes its tables where it is empty.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when it can't be used as it is, others of [`StoreError`] when it can't be reached.
    pub async fn open(address: &DatabaseAddress) -> Result<Self, StoreError> {
        let connection = Box::pin(Connection::open(address)).await?;
        let store = Self { connection };
        store.prepare().await?;
        Ok(store)
    }

    /// Lets the database go. An embedded one can be opened again afterwards.
    pub async fn close(self) {
        self.connection.close().await;
    }
}

#[cfg(test)]
mod tests;
