//! Who is there: people in several rooms, each with a program and a page at any of the gateways, who talk all the time.

use super::reader::Reader;
use crate::audit::Excerpt;
use crate::person::Person;
use crate::random::Random;
use crate::steady::format::Format;
use crate::steady::{Report, Stay, Steady};
use crate::stored;
use broker::Broker;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep};

/// One message of so many is given up, instead of sent again, when its socket breaks.
const SENT_ONCE_EACH: u64 = 7;

/// How many there are, and how much they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub rooms: usize,
    /// People in each room; each is in one room, with two programs and a page.
    pub people_in_room: usize,
    /// Messages a second, in all rooms together.
    pub per_second: u64,
}

/// Sockets of one person: how each speaks.
const SOCKETS: [Format; 3] = [Format::Json, Format::Page, Format::Json];

/// A room with everybody in it.
pub struct Room {
    pub code: String,
    /// Somebody who can be asked for its history.
    pub keeper: Person,
    /// Events after this sequence are due to every member.
    pub after: u64,
    pub members: Vec<(Format, Steady)>,
    /// Who looks back meanwhile; `None` when it has gone.
    pub reader: Option<Reader>,
}

pub struct Crowd {
    pub rooms: Vec<Room>,
}

impl Crowd {
    /// Everybody registers, joins, opens the room and stays.
    /// Each takes another of these ways in than the one before, and any of them later.
    pub async fn comes(ways: &[String], size: Size, random: &mut Random) -> Self {
        let mut rooms = Vec::new();
        for number in 0..size.rooms {
            rooms.push(fill_room(ways, number, size.people_in_room, random).await);
        }
        Self { rooms }
    }

    pub fn members(&self) -> impl Iterator<Item = &Steady> {
        self.rooms.iter().flat_map(|room| room.members.iter().map(|(_, member)| member))
    }

    /// Members chosen by chance talk, at a steady rate, until it is over; gives how much was said.
    pub async fn talks(&self, size: Size, is_over: impl Fn() -> bool, random: &mut Random) -> usize {
        let mut tick = interval(Duration::from_micros(1_000_000 / size.per_second));
        let mut said = 0;
        while !is_over() {
            tick.tick().await;
            let room = &self.rooms[random.index(self.rooms.len())];
            let (_, member) = &room.members[random.index(room.members.len())];
            // What HTML could spoil is in it.
            let body = format!("<{said}> & \"été\" {:x}", random.next_u64());
            if random.between(0, SENT_ONCE_EACH) == 0 {
                member.send_once(&body).await;
            } else {
                member.send(&body).await;
            }
            said += 1;
        }
        said
    }

    /// Waits until nothing is open and everybody has seen the end of their room; gives what is missing after `patience`.
    pub async fn settles(&self, broker: &Broker, patience: Duration) -> Option<String> {
        let deadline = Instant::now() + patience;
        loop {
            let missing = self.missing(broker).await;
            if missing.is_none() || Instant::now() > deadline {
                return missing;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn missing(&self, broker: &Broker) -> Option<String> {
        for room in &self.rooms {
            let open: usize = room.members.iter().map(|(_, member)| member.counts().0).sum();
            if open > 0 {
                return Some(format!("{open} messages to {} are not acknowledged", room.code));
            }
            let Some(head) = stored::head(broker, &room.code).await else {
                return Some(format!("the head of {} can't be read", room.code));
            };
            let behind = room.members.iter().filter(|(_, member)| member.last_seen() < head).count();
            if behind > 0 {
                return Some(format!("{behind} members of {} have not seen {head}", room.code));
            }
        }
        None
    }
}

impl Room {
    /// The reader goes, and says what it read.
    pub fn readings(&mut self) -> Vec<Excerpt> {
        self.reader.take().map(Reader::goes).unwrap_or_default()
    }

    /// Everybody goes, and says what they saw.
    pub fn reports(&mut self) -> Vec<(String, Format, Report)> {
        let members = std::mem::take(&mut self.members);
        members.into_iter().map(|(format, member)| (member.name.clone(), format, member.goes())).collect()
    }
}

async fn fill_room(ways: &[String], number: usize, people: usize, random: &mut Random) -> Room {
    let address = ways[number % ways.len()].clone();
    let keeper = Person::arrives(&address, "Keeper").await;
    let code = keeper.creates(&format!("Faults {number}")).await;
    let mut all = Vec::new();
    for _ in 1..people {
        let person = Person::arrives(&address, "Member").await;
        person.joins(&code).await;
        all.push(person);
    }
    all.push(keeper.clone());
    let view = keeper.opens(&code).await;
    let stays = all.into_iter().flat_map(|person| SOCKETS.map(|format| (person.clone(), format)));
    let members = stays.enumerate().map(|(place, (person, format))| {
        let mut ways = ways.to_vec();
        let turn = place % ways.len();
        ways.rotate_left(turn);
        let (room, cursor, seed) = (code.clone(), view.cursor.clone(), random.next_u64());
        let name = format!("{} {format:?} {place}", person.name);
        (format, Steady::starts(Stay { name, person, room, cursor, format, ways, seed }))
    });
    let members = members.collect();
    let reader = Reader::starts(keeper.clone(), &code, ways.to_vec(), Random::seeded(random.next_u64()));
    Room { members, reader: Some(reader), keeper, after: view.head, code }
}
