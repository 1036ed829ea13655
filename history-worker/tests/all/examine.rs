//! What an operator's tool is told of a database on a server: what it is, and nothing changed by asking.

use std::time::Duration;

use history_worker::store::{DatabaseAddress, HISTORY, Store, examine};
use protocol::Timestamp;
use service::database::{Report, Schema, SchemaMark, Unseen};

use super::surreal::Surreal;

/// As the auth service marks its own.
const ACCOUNTS: SchemaMark =
    SchemaMark { table: "schema", record: "schema:auth", known: 1, restoring: i64::MAX };

async fn looked(address: &str, mark: &SchemaMark) -> Result<Report, Unseen> {
    examine(&address.parse().unwrap(), mark).await
}

async fn schema(address: &str) -> Schema {
    looked(address, &HISTORY).await.unwrap().schema
}

#[tokio::test]
async fn a_database_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let server = Surreal::start(folder.path()).await;
    let address = server.address("history");
    let before = Timestamp::now().as_millis();
    let report = looked(&address, &HISTORY).await.unwrap();
    assert_eq!(report.schema, Schema::Empty);
    assert!(report.server.starts_with("3.3"), "{report:?}");
    let span = before - 1..=Timestamp::now().as_millis() + 1;
    assert!(span.contains(&report.at_ms), "{report:?} {span:?}");

    let opened: DatabaseAddress = address.parse().unwrap();
    Store::open(&opened).await.unwrap().close().await;
    assert_eq!(schema(&address).await, Schema::Version(HISTORY.known));
    for (version, expected) in [
        (HISTORY.known + 1, Schema::Version(HISTORY.known + 1)),
        (HISTORY.known - 1, Schema::Version(HISTORY.known - 1)),
        (HISTORY.restoring, Schema::Restoring),
    ] {
        server.asked(&format!("USE NS chat DB history; UPDATE meta:schema SET version = {version};")).await;
        assert_eq!(schema(&address).await, expected);
    }
    assert_eq!(looked(&address, &ACCOUNTS).await.unwrap().schema, Schema::Empty, "it has no accounts");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_made_and_a_wrong_password_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Surreal::start(folder.path()).await;
    let right = server.address("history");
    let wrong = right.replace("worker:worker", "worker:wrong");
    assert_eq!(looked(&wrong, &HISTORY).await, Err(Unseen::Denied));
    for place in ["chat/nowhere", "nowhere/history"] {
        let as_root = right.replace("worker:worker", "root:root").replace("chat/history", place);
        for _ in 0..2 {
            assert_eq!(looked(&as_root, &HISTORY).await, Err(Unseen::Missing), "{place}");
        }
    }
    assert_eq!(
        looked(&right.replace("worker:worker", "root:root"), &HISTORY).await.unwrap().schema,
        Schema::Empty
    );
    let address = right.replace("ws://", "wss://") + "?ca=/nowhere/ca.pem";
    assert!(
        matches!(looked(&address, &HISTORY).await, Err(Unseen::Address(why)) if why.contains("/nowhere/ca.pem"))
    );
    server.kill();
    let away = tokio::time::timeout(Duration::from_secs(12), looked(&right, &HISTORY)).await;
    assert!(matches!(away, Ok(Err(Unseen::Away(_)))), "{away:?}");
    assert_eq!(looked("surrealkv://data/history", &HISTORY).await, Err(Unseen::Embedded));
}
