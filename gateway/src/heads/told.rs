//! Telling lists of rooms of what this gateway has stored: its own, and those of the other gateways if there are any.

use crate::state::Gateway;
use protocol::state::Head;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often a room's news is told, at most.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Tells in which rooms something was stored, each once in a second, the first at once.
pub async fn tell_heads(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    loop {
        // Two signals: either may be cancelled.
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = gateway.heads.to_tell.notified() => {}
        }
        let stored = std::mem::take(&mut *gateway.heads.stored_rooms());
        let has_company = gateway.gateways.has_company();
        for (room, seq) in stored {
            gateway.heads.note(&room, seq);
            if !has_company {
                continue;
            }
            let Ok(shard) = gateway.shard(&room) else { continue };
            let subject = shard.head(&room);
            if let Err(error) = gateway.broker.tell(subject, &Head { room: room.clone(), seq }).await {
                tracing::debug!(%room, %error, "a room's news can't be told; lists find it by themselves");
            }
        }
        tokio::time::sleep(TELL_EVERY).await;
    }
}
