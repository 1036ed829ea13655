//! All of the broker is lost, or everything: what a backup brings back, and exactly what is lost.

use super::stage::Stage;
use crate::heard::{Heard, Seen};
use crate::person::Person;
use crate::ports;
use crate::stored;

/// Events in a page that is asked for.
const PAGE: usize = 100;

/// A room before it was lost.
struct Kept {
    code: String,
    keeper: Person,
    /// How many events it had when the backup began.
    then: usize,
    /// Its log at last.
    last: Vec<Seen>,
    /// From where a page of then comes back.
    cursor: String,
}

/// The disks of all NATS servers are lost, and the backup is restored on the same machines.
pub async fn in_place(stage: &Stage<'_>) -> String {
    let kept = backed_up(stage).await;
    stage.does("lose-all-disks").await;
    stage.does("empty-everything").await;
    stage.does("restore").await;
    is_restored(stage, &kept).await
}

/// The backup is restored into a new cluster, which has an address, passwords and certificates of its own.
pub async fn elsewhere(stage: &Stage<'_>) -> String {
    let kept = backed_up(stage).await;
    let listen = format!("127.0.0.1:{}", ports::free());
    let new = stage.another(&stage.folder.join("elsewhere"), &listen).await;
    new.does("restore").await;
    new.does("is-whole").await;
    is_restored(&new, &kept).await
}

/// People talk, a backup is made meanwhile, and they talk on.
async fn backed_up(stage: &Stage<'_>) -> Vec<Kept> {
    let broker = stage.broker().await;
    let backing_up = async |rooms: Vec<String>| {
        let mut then = Vec::new();
        for room in &rooms {
            then.push(stored::log(&broker, room).await.len());
        }
        stage.does("back-up").await;
        then
    };
    let (then, talk) = stage.while_people_talk(backing_up).await;
    let mut kept = Vec::new();
    for (room, then) in talk.rooms.into_iter().zip(then) {
        let last = stored::log(&broker, &room.code).await;
        let cursor = room.keeper.opens(&room.code).await.cursor;
        kept.push(Kept { code: room.code, keeper: room.keeper, then, last, cursor });
    }
    kept
}

/// Each room is there as it was up to some moment after the backup began, without a hole, and its people come in and go on.
async fn is_restored(stage: &Stage<'_>, kept: &[Kept]) -> String {
    let broker = stage.broker().await;
    let (mut there, mut lost) = (0, 0);
    for Kept { code, keeper, then, last, cursor } in kept {
        let log = stored::log(&broker, code).await;
        assert!(log.len() >= *then && last.starts_with(&log), "{code} is not as it was");
        (there, lost) = (there + log.len(), lost + last.len() - log.len());
        let keeper = keeper.comes_in_at(&stage.address).await;
        let mut socket = keeper.connects(code).await;
        socket.caught_up().await;
        assert_eq!(socket.whole_history(PAGE).await, log, "{code} is shown as it is stored");
        let mut old = keeper.connects_after(code, cursor).await;
        old.until(|heard| matches!(heard, Heard::Reset { .. }).then_some(())).await;
        socket.say("it goes on").await;
    }
    let ((), talk) = stage.while_people_talk(async |_| ()).await;
    format!(
        "{there} events are there, {lost} that came after the backup are lost, as is said; then {}",
        talk.outcome.verdict
    )
}
