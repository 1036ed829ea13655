//! Replacing everything one at a time, and having more or fewer of what scales.

use super::{Piece, Role, Topology};
use std::time::Duration;
use tokio::time::Instant;

/// What came of replacing everything.
#[derive(Debug, Default)]
pub struct Rolled {
    /// How many were replaced.
    pub replaced: usize,
    /// A sentence for each that did not stop in order.
    pub disorder: Vec<String>,
    pub took: Duration,
}

/// How something stopped that was asked to: as [`Piece::stop`] says.
type Stopped = Result<(), String>;

impl Topology {
    /// Replaces every process that runs, one at a time: of what keeps nothing the new one is ready before the old one leaves. `say`
    /// gets a line for each.
    ///
    /// # Errors
    /// A sentence, when one is not ready in time. The rest is as it was.
    pub async fn roll(&mut self, say: &mut impl FnMut(String)) -> Result<Rolled, String> {
        let began = Instant::now();
        let mut rolled = Rolled::default();
        for role in Role::ALL {
            // What was stopped on purpose stays away.
            let running = self.of(role).filter(|piece| piece.runs());
            let names: Vec<_> = running.map(|piece| piece.name.clone()).collect();
            for name in names {
                let one = Instant::now();
                let ended = if role.keeps_something() {
                    self.restart(&name).await?
                } else {
                    self.replace(role, &name).await?
                };
                rolled.disorder.extend(ended.err());
                rolled.replaced += 1;
                say(format!("{name} was replaced in {:.1} s", one.elapsed().as_secs_f64()));
            }
        }
        rolled.took = began.elapsed();
        Ok(rolled)
    }

    /// Has so many of a role. Those that go leave in order, newest first.
    ///
    /// # Errors
    /// A sentence, when a new one is not ready in time: it stays, and may be ready later. Or when one that went did not stop in order.
    pub async fn scale(&mut self, role: Role, count: usize) -> Result<(), String> {
        while self.of(role).count() < count {
            self.add(role).start();
        }
        self.all_ready().await?;
        while self.of(role).count() > count.max(1) {
            let newest = self.of(role).last().expect("there is more than one").name.clone();
            self.leaves(&newest).await?;
        }
        Ok(())
    }

    /// Starts another in its place, and lets it go when that is ready. Gives how it stopped.
    ///
    /// # Errors
    /// A sentence, when the new one is not ready in time: it goes, and the other stays.
    async fn replace(&mut self, role: Role, name: &str) -> Result<Stopped, String> {
        let new = self.add(role);
        new.start();
        let new = new.name.clone();
        let is_ready = |all: &Self| all.named(&new).is_some_and(|piece| piece.is_ready);
        if let Err(why) = self.look_until(&format!("{new} is ready"), is_ready).await {
            self.pieces.retain(|piece| piece.name != new);
            self.look().await;
            return Err(why);
        }
        Ok(self.leaves(name).await)
    }

    /// Stops it and starts it again. Gives how it stopped.
    async fn restart(&mut self, name: &str) -> Result<Stopped, String> {
        let stopped = self.named_mut(name).stop().await;
        self.named_mut(name).start();
        self.all_ready().await?;
        Ok(stopped)
    }

    async fn leaves(&mut self, name: &str) -> Stopped {
        self.named_mut(name).is_leaving = true;
        self.look().await;
        let place = self.pieces.iter().position(|piece| piece.name == name).expect("it is there");
        let stopped = self.pieces[place].leave().await;
        self.pieces.remove(place);
        self.look().await;
        stopped
    }

    pub fn named(&self, name: &str) -> Option<&Piece> {
        self.pieces.iter().find(|piece| piece.name == name)
    }

    pub(super) fn named_mut(&mut self, name: &str) -> &mut Piece {
        self.pieces.iter_mut().find(|piece| piece.name == name).expect("it is there")
    }
}
