//! Hearing of rooms' news, while somebody here looks at a list.

use crate::state::Gateway;
use protocol::{
    state::Head,
    subject::{self, Shard},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Hears the news of one shard while there are lists here.
pub async fn hear_news(gateway: Arc<Gateway>, shard: Shard, shutdown: CancellationToken) {
    let mut count = gateway.heads.count.subscribe();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            watched = count.wait_for(|count| *count > 0) => if watched.is_err() { return },
        }
        let Ok(mut news) = gateway.broker.hear::<Head>(shard.head_all()).await else { return };
        // Whatever was told before this was subscribed to is found by the check.
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                gone = count.wait_for(|count| *count == 0) => {
                    if gone.is_err() {
                        return;
                    }
                    break;
                }
                told = news.next() => match told {
                    Some(head) => gateway.heads.note(&head.room, head.seq),
                    None => return,
                }
            }
        }
    }
}

/// Compares the rooms of all lists with the log, many in one request: once in each period of the check of heads.
pub async fn check_watched(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(gateway.config.head_check.max(Duration::from_millis(500))) => {}
        }
        let mut by_shard: HashMap<Shard, Vec<String>> = HashMap::new();
        for room in gateway.heads.watched() {
            let Ok(shard) = gateway.shard(&room) else { continue };
            by_shard.entry(shard).or_default().push(shard.log(&room));
        }
        for (shard, subjects) in by_shard {
            match gateway.broker.last_many(&shard.stream(), &subjects).await {
                Ok(heads) => {
                    for head in heads {
                        if let Some(room) = subject::room_of(&head.subject) {
                            gateway.heads.note(&room, head.seq);
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "the rooms of lists can't be looked up"),
            }
        }
    }
}
