//! What other services ask to be written to rooms, where they can't write: one of all gateways does it.

use crate::{directory::Directory, state::Gateway};
use broker::Question;
use protocol::{
    keys::{RoomErasures, RoomErasuresAnswer},
    retention::{RoomExpiry, RoomExpiryAnswer},
    subject,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Pause before questions are served again, when the broker failed.
const AGAIN: Duration = Duration::from_millis(500);
const NOT_STORED: &str = "the broker did not store it";

/// Writes what is asked for until `shutdown`; what is in hand is finished first.
pub async fn serve(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    tokio::join!(
        serve_one(&gateway, subject::ROOM_ERASURES, &shutdown, erase),
        serve_one(&gateway, subject::ROOM_EXPIRIES, &shutdown, expire),
    );
}

async fn serve_one(
    gateway: &Gateway,
    subject: &str,
    shutdown: &CancellationToken,
    answer: impl AsyncFn(&Directory, Question),
) {
    while !shutdown.is_cancelled() {
        if let Ok(mut questions) = gateway.broker.serve(subject.to_owned(), "gateways").await {
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

async fn erase(directory: &Directory, question: Question) {
    let refused = |reason: &str| RoomErasuresAnswer::Refused { reason: reason.to_owned() };
    let answer = match serde_json::from_slice::<RoomErasures>(&question.payload) {
        Err(_) => refused("not an erasure"),
        Ok(RoomErasures { holder }) => match directory.erase(&holder).await {
            Ok(rooms) => RoomErasuresAnswer::Told { rooms },
            Err(error) => {
                tracing::warn!(%holder, %error, "not every room could be told yet");
                refused(NOT_STORED)
            }
        },
    };
    question.answer(&answer).await;
}

async fn expire(directory: &Directory, question: Question) {
    let refused = |reason: &str| RoomExpiryAnswer::Refused { reason: reason.to_owned() };
    let answer = match serde_json::from_slice::<RoomExpiry>(&question.payload) {
        Err(_) => refused("not an expiry"),
        Ok(expiry) => match directory.expire(expiry).await {
            Ok(()) => RoomExpiryAnswer::Settled,
            Err(error) => {
                tracing::warn!(%error, "a room could not be told what has expired");
                refused(NOT_STORED)
            }
        },
    };
    question.answer(&answer).await;
}
