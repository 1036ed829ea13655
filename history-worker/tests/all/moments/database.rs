//! The database of the workers that are killed, looked at while none of them runs.

use std::path::Path;
use std::sync::Arc;

use history_worker::store::tables;
use protocol::RoomSlug;
use surrealdb::engine::any::Any;
use surrealdb::engine::local::Db;
use surrealdb::types::SurrealValue;
use surrealdb::{IndexedResults, Surreal};
use surrealdb_engine_local::Datastore;

use super::super::surreal::Surreal as Server;
use super::super::worker::eventually;

pub enum Database {
    /// Its address.
    Embedded(String),
    /// A connection of its own is kept: logging in takes longer than anything else.
    Server(Server, Surreal<Any>),
}

/// What a killed worker left.
#[derive(Debug, SurrealValue)]
pub struct Found {
    /// Whether it is still the older layout that is read.
    pub is_older: bool,
    /// Whether something is being made anew.
    pub replays: bool,
    /// Whether something must still go from log or database.
    pub erases: bool,
}

/// Where the older layout is still read, nothing of it may have been touched.
const LOOK: &str = "
    DEFINE TABLE IF NOT EXISTS replay_5 SCHEMALESS; DEFINE TABLE IF NOT EXISTS erase_5 SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS ended_5 SCHEMALESS; DEFINE TABLE IF NOT EXISTS meta SCHEMALESS;
    DEFINE TABLE IF NOT EXISTS room SCHEMALESS; DEFINE TABLE IF NOT EXISTS event SCHEMALESS;
    LET $is_older = meta:schema.version == 4;
    IF $is_older AND (room:['quiet'].count != 7 OR event:['quiet', 1].what != 'nobody knows') { THROW 'what is read is gone' };
    RETURN {
        is_older: $is_older,
        replays: (SELECT VALUE under_way FROM ONLY replay_5:[0]) ?? false,
        erases: array::len((SELECT VALUE id FROM erase_5)) + array::len((SELECT VALUE id FROM ended_5)) > 0,
    };";

impl Database {
    pub fn embedded(path: &Path) -> Self {
        Self::Embedded(format!("surrealkv://{}", path.display()))
    }

    pub async fn on_a_server(store: &Path) -> Self {
        let server = Server::start(store).await;
        let client = server.client().await;
        client.use_ns("chat").use_db("history").await.unwrap();
        Self::Server(server, client)
    }

    /// As a worker's setting names it.
    pub fn address(&self) -> String {
        match self {
            Self::Embedded(address) => address.clone(),
            Self::Server(server, _) => server.address("history"),
        }
    }

    async fn asked(&self, statements: &str) -> IndexedResults {
        match self {
            Self::Embedded(address) => {
                let engine = Datastore::builder().without_maintenance_tasks();
                let engine = Box::pin(engine.build_with_path(address)).await.unwrap();
                let client = Surreal::<Db>::unstable_from_datastore(Arc::clone(&engine), None).await.unwrap();
                client.use_ns("backchat").use_db("history").await.unwrap();
                let answer = client.query(statements).await.unwrap().check().unwrap();
                drop(client);
                // The next worker finds it closed.
                engine.shutdown().await.unwrap();
                answer
            }
            Self::Server(_, client) => {
                // A transaction of the worker that was killed may still be on its way.
                eventually("the database takes statements", async || {
                    let answer = client.query(statements).await.and_then(IndexedResults::check);
                    match answer {
                        Err(error) if error.message().contains("onflict") => None,
                        answer => Some(answer.unwrap()),
                    }
                })
                .await
            }
        }
    }

    /// Leaves what an older backchat may have left, of whose tables only the rooms are ever read, and nothing of this one's.
    pub async fn is_of_an_older_layout(&self, rooms: &[&RoomSlug]) {
        let tables = tables::ALL.iter().map(|table| format!("REMOVE TABLE IF EXISTS {table};"));
        let rooms = rooms.iter().map(|room| format!("UPSERT room:['{room}'] SET count = 7;"));
        let statements = format!(
            "{} {} UPSERT event:['quiet', 1] SET what = 'nobody knows'; UPSERT meta:schema SET version = 4;",
            tables.collect::<String>(),
            rooms.collect::<String>(),
        );
        self.asked(&statements).await;
    }

    pub async fn found(&self) -> Found {
        let mut answer = self.asked(LOOK).await;
        let found: Option<Found> = answer.take(answer.num_statements() - 1).unwrap();
        found.expect("a statement that returns something")
    }
}
