//! The socket of a person's list of rooms: `GET /chat/`. It says what happened last in each of them, and again when something
//! happens.

use super::{
    frame,
    outlet::{Heard, Outlet},
    seat::{End, too_slow},
    wire::Format,
};
use crate::{Error, directory::MyRoom, heads::Watching, pages, sessions::Registration, state::Gateway};
use protocol::{RoomSlug, token::Claims};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// What has come is written at most this often.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// One person's look at their rooms.
pub struct ListSeat {
    gateway: Arc<Gateway>,
    claims: Claims,
    _registration: Registration,
    format: Format,
    watching: Watching,
    has_news: bool,
    written_at: Option<Instant>,
}

impl ListSeat {
    /// # Errors
    /// When the person's rooms can't be read now.
    pub async fn new(
        gateway: &Arc<Gateway>,
        (claims, registration): (Claims, Registration),
        format: Format,
    ) -> Result<Self, Error> {
        let rooms = gateway.directory.rooms_of(claims.user).await?;
        let rooms = rooms.into_iter().map(|room| room.slug).collect();
        Ok(Self {
            watching: gateway.heads.watch(rooms),
            gateway: Arc::clone(gateway),
            claims,
            _registration: registration,
            format,
            has_news: false,
            written_at: None,
        })
    }

    /// Serves the socket to its end, and says how to close it.
    pub async fn run(mut self, outlet: &mut Outlet) -> End {
        let line = Arc::clone(&outlet.line);
        let list = Arc::clone(&self.watching.list);
        loop {
            let write_at = self.written_at.map_or_else(Instant::now, |at| at + WRITE_EVERY);
            // In the order of importance. All are signals or clocks, or keep what they have not read whole.
            let step = tokio::select! {
                biased;
                () = line.rung() => line.stays(),
                () = list.rung() => {
                    self.has_news = true;
                    Ok(())
                }
                heard = outlet.hear() => Box::pin(self.heard(outlet, heard)).await,
                () = sleep_until(write_at), if self.has_news => self.write(outlet).await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn write(&mut self, outlet: &mut Outlet) -> Result<(), End> {
        (self.has_news, self.written_at) = (false, Some(Instant::now()));
        let fresh = self.watching.list.take();
        match self.frames(&fresh).await {
            Ok(frames) => outlet.show(frames.iter().map(|frame| frame::text(frame))).await.map_err(too_slow),
            Err(error) => {
                tracing::debug!(%error, "news of rooms can't be read yet");
                self.watching.list.put_back(fresh);
                Ok(())
            }
        }
    }

    /// A frame for each of these rooms of which the person is a member still.
    async fn frames(&self, fresh: &BTreeSet<RoomSlug>) -> Result<Vec<String>, Error> {
        let mut frames = Vec::with_capacity(fresh.len());
        let rooms: Vec<MyRoom> = self.gateway.directory.mine_among(self.claims.user, fresh).await?;
        // The one that moved last comes last, and stands at the top in the end.
        for room in rooms.iter().rev() {
            frames.extend(match self.format {
                Format::Json => {
                    pages::last_row(&self.gateway, room).await.map(|row| self.format.head(&room.slug, &row))
                }
                Format::Html(lang) => {
                    let link = pages::room_link(&self.gateway, room, None).await;
                    Some(templates::room_head_fragment(lang, &link))
                }
            });
        }
        Ok(frames)
    }

    async fn heard(&mut self, outlet: &mut Outlet, heard: Heard) -> Result<(), End> {
        match heard {
            Heard::Text(_) | Heard::Binary | Heard::Alive => Ok(()),
            Heard::Stalled(error) => Err(too_slow(error)),
            Heard::Broken(Some(close), _) => Err(Some(close)),
            Heard::Closed => Err(None),
            Heard::Broken(None, code) => {
                outlet.close_with(code, "the frame is not valid").await;
                Err(None)
            }
        }
    }
}
