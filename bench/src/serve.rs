//! `bench serve`: a gateway on a broker of its own, with rooms and people in them, for load generators other than ours.

use crate::server::{Server, Shape, Sync};
use service::process::say;
use std::{fs, io::Read, path::PathBuf};

pub const USAGE: &str = "usage: bench serve ROOMS MEMBERS FILE [returning] [unsynced]
Rooms are room_0, room_1 and so on. FILE gets a line for each person, room after room: the path of their socket and their token. \
One line of JSON says that it runs; the end of the standard input ends it.";

#[derive(Debug, PartialEq, Eq)]
pub struct Serve {
    pub rooms: usize,
    pub members: usize,
    pub people: PathBuf,
    pub returning: bool,
    pub unsynced: bool,
}

impl Serve {
    /// Reads what comes after `serve`; `None` when it can't be meant.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut number = || arguments.next()?.parse().ok().filter(|number| *number > 0);
        let (rooms, members) = (number()?, number()?);
        let mut serve =
            Self { rooms, members, people: arguments.next()?.into(), returning: false, unsynced: false };
        for argument in arguments {
            match argument.as_str() {
                "returning" => serve.returning = true,
                "unsynced" => serve.unsynced = true,
                _ => return None,
            }
        }
        Some(serve)
    }

    /// Serves until the standard input ends.
    ///
    /// # Errors
    /// One line for the person at the terminal.
    pub fn run(&self) -> Result<(), String> {
        let shape = Shape { rooms: self.rooms, members: self.members, returning: self.returning };
        let sync = if self.unsynced { Sync::Default } else { Sync::Always };
        let server = Server::gateway(shape, sync)?;
        let people: String = server
            .members
            .iter()
            .map(|member| format!("{} {}\n", member.path, member.token.as_deref().unwrap_or_default()))
            .collect();
        fs::write(&self.people, people).map_err(|error| format!("{}: {error}", self.people.display()))?;
        let running = serde_json::json!({ "address": server.doors[0], "processes": server.processes });
        say(&running.to_string());
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        Ok(())
    }
}
