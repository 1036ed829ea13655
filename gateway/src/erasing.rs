//! What is erased: keys, names and texts of a person or a room go from this gateway as soon as it is heard; and one of all gateways
//! writes it to the rooms, where the auth service can't write.

use crate::{directory::Directory, state::Gateway};
use broker::{Follower, Question};
use protocol::{
    keys::{Holder, RoomErasures, RoomErasuresAnswer},
    subject,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Pause before erasures are followed or served again, when the broker failed.
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

/// Writes to the rooms what was erased, when the auth service asks for it, until `shutdown`; what is in hand is finished first.
pub async fn write_erasures(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        if let Ok(mut questions) = gateway.broker.serve(subject::ROOM_ERASURES.into(), "gateways").await {
            // Both only wait, so either may be cancelled. One after the other: it is rare.
            while let Some(question) = tokio::select! {
                () = shutdown.cancelled() => None,
                question = questions.next() => question,
            } {
                answer(&gateway.directory, question).await;
            }
        }
        let pause = tokio::time::sleep(AGAIN);
        tokio::select! { () = shutdown.cancelled() => {}, () = pause => {} }
    }
}

async fn answer(directory: &Directory, question: Question) {
    let refused = |reason: &str| RoomErasuresAnswer::Refused { reason: reason.to_owned() };
    let answer = match serde_json::from_slice::<RoomErasures>(&question.payload) {
        Err(_) => refused("not an erasure"),
        Ok(RoomErasures { holder }) => match directory.erase(&holder).await {
            Ok(rooms) => RoomErasuresAnswer::Told { rooms },
            Err(error) => {
                tracing::warn!(%holder, %error, "not every room could be told yet");
                refused("the broker did not store it")
            }
        },
    };
    question.answer(&answer).await;
}
