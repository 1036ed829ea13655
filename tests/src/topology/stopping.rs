//! Taking pieces away, and bringing them back: what an operator or a misfortune does to a topology, and what follows.

use super::{Role, Topology};
use std::fs;

impl Topology {
    /// Starts those that these words name, or with none everything that does not run, and waits until they are ready.
    ///
    /// # Errors
    /// A sentence, when there is nothing of such a name, here and below, or something is not ready in time.
    pub async fn starts(&mut self, words: &[String]) -> Result<(), String> {
        let names = if words.is_empty() { self.all_names() } else { self.meant(words)? };
        for name in names {
            let piece = self.named_mut(&name);
            if !piece.runs() {
                piece.start();
            }
        }
        self.all_ready().await
    }

    /// Stops them in order. They stay away until they are started.
    ///
    /// # Errors
    /// Also when one did not stop in order. All are stopped then.
    pub async fn stops(&mut self, words: &[String]) -> Result<(), String> {
        let mut disorder = Vec::new();
        for name in self.meant(words)? {
            disorder.extend(self.named_mut(&name).stop().await.err());
        }
        self.look().await;
        if disorder.is_empty() { Ok(()) } else { Err(disorder.join("; ")) }
    }

    /// `kill -9` for all at once. They stay away until they are started.
    pub async fn kills(&mut self, words: &[String]) -> Result<(), String> {
        let names = self.meant(words)?;
        names.iter().for_each(|name| self.named_mut(name).kill());
        names.iter().for_each(|name| self.named_mut(name).goes());
        self.look().await;
        Ok(())
    }

    /// The same, and what they stored is lost.
    pub async fn loses(&mut self, words: &[String]) -> Result<(), String> {
        self.kills(words).await?;
        for name in self.meant(words)? {
            let store = self.places.folder.join(&name);
            if store.exists() {
                fs::remove_dir_all(&store).map_err(|error| format!("{}: {error}", store.display()))?;
            }
        }
        Ok(())
    }

    /// `kill -9` for one, and waits until it was started again and everything is ready.
    ///
    /// # Errors
    /// A sentence, when it is not in time.
    pub async fn outlives(&mut self, name: &str) -> Result<(), String> {
        let before = self.restarts.len();
        self.named_mut(name).kill();
        let is_whole = |all: &Self| all.restarts.len() > before && all.is_ready();
        self.look_until(&format!("{name} was killed, and everything is ready again"), is_whole).await
    }

    fn all_names(&self) -> Vec<String> {
        self.pieces.iter().map(|piece| piece.name.clone()).collect()
    }

    /// The names of those that words name: `nats-1` one, `nats` all of the role.
    fn meant(&self, words: &[String]) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for word in words {
            let is_meant = |role: Role, name: &str| role.to_string() == *word || name == word;
            let found = self.pieces.iter().filter(|piece| is_meant(piece.role, &piece.name));
            let before = names.len();
            names.extend(found.map(|piece| piece.name.clone()));
            if names.len() == before {
                return Err(format!("there is no {word:?}; there are: {}", self.all_names().join(", ")));
            }
        }
        Ok(names)
    }
}
