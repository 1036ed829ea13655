//! The procedures of docs/operations, done as they are written there: the commands of the pages are executed against a topology of its
//! own while people talk, and then it is proved that they did what the page says, and that nothing is lost but what the page says.

mod accidents;
mod restoring;
mod routine;
mod stage;

use crate::pages::{Pages, Place};
use stage::Stage;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// All drills, in the order in which they are done: each finds the topology as the one before has left it.
pub const NAMES: [&str; 9] = [
    "lose-the-database",
    "lose-a-brokers-disk",
    "lose-all-disks",
    "restore-elsewhere",
    "lose-a-node",
    "rebuild-history",
    "rotate-keys",
    "scale",
    "upgrade",
];

/// Does those of the drills that are named, or with no name all; `say` gets a line for each. Gives how long it took.
///
/// # Panics
/// When a command of a page fails, or what it did can't be proved.
pub async fn run(names: &[&str], listen: &str, folder: &Path, say: impl Fn(String)) -> Duration {
    let began = Instant::now();
    let pages = Pages::of(Place::Drill);
    let stage = Stage::empty(folder, listen, &pages).await;
    stage.does("install").await;
    stage.does("is-installed").await;
    say(format!("install: {} s", began.elapsed().as_secs()));
    for name in NAMES.into_iter().filter(|name| names.is_empty() || names.contains(name)) {
        let began = Instant::now();
        stage.begins_a_backup();
        let seen = one(name, &stage).await;
        stage.does("is-whole").await;
        stage.newcomer("New").await;
        say(format!("{name}: {seen}; {} s", began.elapsed().as_secs()));
    }
    if names.is_empty() {
        assert!(pages.left().is_empty(), "no drill executes these commands of the pages: {:?}", pages.left());
    }
    began.elapsed()
}

/// Gives what was seen.
async fn one(name: &str, stage: &Stage<'_>) -> String {
    match name {
        "lose-the-database" => accidents::database(stage).await,
        "lose-a-brokers-disk" => accidents::disk_of_one_broker(stage).await,
        "lose-all-disks" => restoring::in_place(stage).await,
        "restore-elsewhere" => restoring::elsewhere(stage).await,
        "lose-a-node" => accidents::node(stage).await,
        "rebuild-history" => routine::history_anew(stage).await,
        "rotate-keys" => routine::root_key(stage).await,
        "scale" => routine::scale(stage).await,
        "upgrade" => routine::upgrade(stage).await,
        other => panic!("there is no drill {other:?}"),
    }
}
