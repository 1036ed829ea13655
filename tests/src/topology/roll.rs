//! Replacing everything one at a time, and having more or fewer of what scales.

use super::{Piece, Role, START, Topology};
use std::time::Duration;
use tokio::time::Instant;

/// What came of replacing everything.
#[derive(Debug, Default)]
pub struct Rolled {
    /// How many were replaced.
    pub replaced: usize,
    /// Those that had to be killed after their grace.
    pub killed: Vec<String>,
    pub took: Duration,
}

impl Topology {
    /// Replaces every process one at a time: of what keeps nothing the new one is ready before the old one leaves. `say` gets a line
    /// for each.
    ///
    /// # Panics
    /// When one is not ready in time.
    pub async fn roll(&mut self, say: &mut impl FnMut(String)) -> Rolled {
        let began = Instant::now();
        let mut rolled = Rolled::default();
        for role in Role::ALL {
            let names: Vec<_> = self.of(role).map(|piece| piece.name.clone()).collect();
            for name in names {
                let one = Instant::now();
                let ended = if role.keeps_something() {
                    self.restart(&name).await
                } else {
                    self.replace(role, &name).await
                };
                if !ended {
                    rolled.killed.push(name.clone());
                }
                rolled.replaced += 1;
                say(format!("{name} was replaced in {:.1} s", one.elapsed().as_secs_f64()));
            }
        }
        rolled.took = began.elapsed();
        rolled
    }

    /// Has so many of a role. Those that go leave in order, newest first.
    ///
    /// # Panics
    /// When a new one is not ready in time, or the role can't be scaled so.
    pub async fn scale(&mut self, role: Role, count: usize) {
        while self.of(role).count() < count {
            self.add(role).start();
        }
        self.all_ready().await;
        while self.of(role).count() > count.max(1) {
            let newest = self.of(role).last().expect("there is more than one").name.clone();
            self.leaves(&newest).await;
        }
    }

    /// Starts another in its place, and lets it go when that is ready. Gives whether it stopped by itself.
    async fn replace(&mut self, role: Role, name: &str) -> bool {
        let new = self.add(role);
        new.start();
        let new = new.name.clone();
        let is_ready = |all: &Self| all.named(&new).is_some_and(|piece| piece.is_ready);
        self.look_until(&format!("{new} is ready"), START, is_ready).await.expect("it starts");
        self.leaves(name).await
    }

    /// Stops it and starts it again. Gives whether it stopped by itself.
    async fn restart(&mut self, name: &str) -> bool {
        let ended = self.named_mut(name).stop().await;
        self.named_mut(name).start();
        self.all_ready().await;
        ended
    }

    async fn leaves(&mut self, name: &str) -> bool {
        self.named_mut(name).is_leaving = true;
        self.look().await;
        let place = self.pieces.iter().position(|piece| piece.name == name).expect("it is there");
        let ended = self.pieces[place].leave().await;
        self.pieces.remove(place);
        self.look().await;
        ended
    }

    pub fn named(&self, name: &str) -> Option<&Piece> {
        self.pieces.iter().find(|piece| piece.name == name)
    }

    pub(super) fn named_mut(&mut self, name: &str) -> &mut Piece {
        self.pieces.iter_mut().find(|piece| piece.name == name).expect("it is there")
    }
}
