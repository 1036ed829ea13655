//! What is erased: keys, names and texts of a person or a room go from this gateway as soon as it is heard.

use crate::state::Gateway;
use broker::Follower;
use protocol::{keys::Holder, subject};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Pause before erasures are followed again, when the broker failed.
const AGAIN: Duration = Duration::from_millis(500);

/// Follows erasures for as long as the gateway runs: what was of a person or a room goes from caches and rings.
pub async fn follow_erasures(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let started = Follower::start(
            &gateway.broker,
            subject::KEYS_STREAM,
            subject::ERASURES,
            subject::ERASURES_LIVE,
            0,
        );
        if let Ok(mut follower) = started.await {
            follow(&gateway, &mut follower, &shutdown).await;
        }
        let pause = tokio::time::sleep(AGAIN);
        tokio::select! { () = shutdown.cancelled() => {}, () = pause => {} }
    }
}

/// Ends when the stream was made anew.
async fn follow(gateway: &Gateway, follower: &mut Follower, shutdown: &CancellationToken) {
    loop {
        // `next` reads again what a cancelled call had read.
        let next = tokio::select! {
            () = shutdown.cancelled() => return,
            next = follower.next() => next,
        };
        match next {
            Ok(records) => {
                for holder in records.iter().filter_map(|record| Holder::of_erasure(&record.subject)) {
                    gateway.forget(&holder);
                }
            }
            Err(broker::Error::Setup(why)) => {
                tracing::error!(why, "keys are read anew");
                return;
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

impl Gateway {
    /// Forgets everything of a person or a room. Whoever has such a room open is shown out; in the other rooms their event in the
    /// log tells everybody to begin anew.
    fn forget(&self, holder: &Holder) {
        if self.keyring.forget(holder) {
            self.signals.erased(holder);
        }
        self.rooms.erase(holder);
        if let Holder::User(user) = holder {
            self.profiles.forget(*user);
        }
    }
}
