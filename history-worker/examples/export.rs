//! Writes an embedded database as SurrealDB exports it, on standard output: `export FOLDER NAMESPACE DATABASE`. The process whose
//! database it is must not run.

use std::error::Error;
use std::io::Write;

use futures_util::StreamExt;
use surrealdb::engine::any;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next =
        |what: &str| arguments.next().ok_or(format!("{what} is missing: export FOLDER NAMESPACE DATABASE"));
    let (folder, namespace, database) = (next("the folder")?, next("the namespace")?, next("the database")?);
    let client = any::connect(format!("surrealkv://{folder}")).await?;
    client.use_ns(namespace).use_db(database).await?;
    let mut exported = client.export(()).await?;
    let mut out = std::io::stdout().lock();
    while let Some(piece) = exported.next().await {
        out.write_all(&piece?)?;
    }
    Ok(())
}
