//! What history workers tell each other, so that each shard has one of them: soft, and never stored.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One running history worker; another one each time it starts. Those that started later come later in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub Uuid);

impl WorkerId {
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for WorkerId {
    fn default() -> Self {
        Self::new()
    }
}

/// The tables that a worker fills: those of other tables have nothing to share with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// The address of the database server, without its secrets.
    pub database: String,
    pub layout: i64,
}

/// A history worker's sign of life, on [`crate::subject::WORKERS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerBeat {
    pub worker: WorkerId,
    pub fills: Tables,
    /// It stops now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaves: bool,
}
