//! Who is present and who is writing: across tabs, gateways and people, and after a gateway died.

use std::collections::BTreeSet;
use std::time::Duration;
use tests::backchat::shared;
use tests::eventually::eventually;
use tests::heard::Heard;
use tests::json_socket::JsonSocket;
use tests::person::Person;
use tests::services::Services;
use tokio::time::{Instant, timeout};

/// A socket, and who is present as it was told.
struct Watcher {
    socket: JsonSocket,
    present: BTreeSet<String>,
    count: u64,
    frames: usize,
}

impl Watcher {
    async fn of(person: &Person, room: &str) -> Self {
        let mut socket = person.connects(room).await;
        socket.hears_passing = true;
        Self { socket, present: BTreeSet::new(), count: 0, frames: 0 }
    }

    /// Takes what comes until these are present, and fails when that is not within `patience`.
    async fn sees(&mut self, expected: &[&str], patience: Duration) {
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        let deadline = Instant::now() + patience;
        while self.present != expected || self.count != expected.len() as u64 {
            let left = deadline.saturating_duration_since(Instant::now());
            let heard = timeout(left, self.socket.next()).await;
            let heard =
                heard.unwrap_or_else(|_| panic!("waited for {expected:?}, but saw {:?}", self.present));
            self.take(heard);
        }
    }

    fn take(&mut self, heard: Heard) {
        let Heard::Presence(frame) = heard else { return };
        self.frames += 1;
        if let Some(present) = frame.present {
            self.present = present.into_iter().map(|person| person.name).collect();
        }
        self.present.extend(frame.came.into_iter().map(|person| person.name));
        for person in frame.went {
            self.present.remove(&person.name);
        }
        self.count = frame.count;
    }
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn three_tabs_on_two_gateways_are_one_person_until_the_last_is_closed() {
    let services = Services::start(2).await;
    let (first, second) = (services.address(0), services.address(1));
    let ann = Person::arrives(&first, "Ann").await;
    let ben = Person::arrives(&first, "Ben").await;
    let room = ann.creates("Tabs").await;
    ben.joins(&room).await;
    let mut ben_sees = Watcher::of(&ben, &room).await;
    let elsewhere = ann.through(&second);
    let (one, two, three) =
        (ann.connects(&room).await, ann.connects(&room).await, elsewhere.connects(&room).await);
    ben_sees.sees(&[&ann.name, &ben.name], SOON).await;
    let mut ann_sees = Watcher::of(&elsewhere, &room).await;
    ann_sees.sees(&[&ann.name, &ben.name], SOON).await;
    let before = ben_sees.frames;
    one.socket.close().await;
    two.socket.close().await;
    three.socket.close().await;
    ben_sees.socket.say("still there").await;
    assert_eq!(ben_sees.frames, before, "one tab is left, so nobody has gone");
    ann_sees.socket.socket.close().await;
    ben_sees.sees(&[&ben.name], SOON).await;
}

#[tokio::test]
async fn the_people_of_a_killed_gateway_are_gone_within_ten_seconds_and_back_when_they_are() {
    let mut services = Services::start(3).await;
    let names = ["Ann", "Ben", "Cem", "Dan", "Eve", "Fay"];
    let mut people = Vec::new();
    for name in names {
        people.push(Person::arrives(&services.address(0), name).await);
    }
    let room = people[0].creates("Gateways").await;
    for person in &people[1..] {
        person.joins(&room).await;
    }
    let mut watchers = Vec::new();
    for (place, person) in people.iter().enumerate() {
        watchers.push(Watcher::of(&person.through(&services.address(place % 3)), &room).await);
    }
    let all: Vec<&str> = people.iter().map(|person| person.name.as_str()).collect();
    for watcher in &mut watchers {
        watcher.sees(&all, SOON).await;
    }
    services.gateways[2].kill();
    let stayed: Vec<&str> = [0, 1, 3, 4].map(|place| all[place]).into();
    for place in [0, 1, 3, 4] {
        watchers[place].sees(&stayed, SOON).await;
    }
    // They come back to another gateway, and the replaced one begins with the whole list.
    let mut back = Watcher::of(&people[2].through(&services.address(0)), &room).await;
    services.gateways[2].start().await;
    let mut fresh = Watcher::of(&people[5].through(&services.address(2)), &room).await;
    for watcher in [&mut back, &mut fresh] {
        watcher.sees(&all, SOON).await;
    }
    for place in [0, 1, 3, 4] {
        watchers[place].sees(&all, SOON).await;
    }
    // A gateway that is stopped in order says goodbye.
    services.gateways[1].terminate().await;
    let stayed: Vec<&str> = [0, 2, 3, 5].map(|place| all[place]).into();
    for watcher in [&mut back, &mut fresh] {
        watcher.sees(&stayed, SOON).await;
    }
}

#[tokio::test]
async fn writing_reaches_the_others_and_is_stored_nowhere() {
    let services = Services::start(2).await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let ben = Person::arrives(&services.address(0), "Ben").await;
    let room = ann.creates("Typing").await;
    ben.joins(&room).await;
    let mut hers = Watcher::of(&ann, &room).await.socket;
    let mut his = Watcher::of(&ben.through(&services.address(1)), &room).await.socket;
    hers.say("here").await;
    assert_eq!(his.message().await, "here");
    let broker = services.nats.connect().await;
    let before = broker.stream("CHAT_0").await.unwrap().last_seq;
    for _ in 0..20 {
        hers.ask(serde_json::json!({"type": "typing"})).await;
    }
    let writer = his
        .until(|heard| match heard {
            Heard::Typing { user } => Some(user.name.clone()),
            _ => None,
        })
        .await;
    assert_eq!(writer, ann.name);
    hers.is_alive().await;
    his.is_alive().await;
    let more = his.kept_of(|heard| matches!(heard, Heard::Typing { .. }));
    assert!(more <= 1, "a notice in a second, not twenty: {more}");
    assert_eq!(hers.kept_of(|heard| matches!(heard, Heard::Typing { .. })), 0, "the writer is not told");
    assert_eq!(broker.stream("CHAT_0").await.unwrap().last_seq, before, "nothing of it is stored");
}

#[tokio::test]
async fn many_who_come_at_once_are_told_in_few_frames() {
    let person = Person::arrives(&shared().await, "Crowd").await;
    let room = person.creates("Crowd").await;
    let mut watcher = Watcher::of(&person, &room).await;
    let mut others = Vec::new();
    for number in 0..12 {
        let other = Person::arrives(&shared().await, &format!("One{number}")).await;
        other.joins(&room).await;
        others.push(other);
    }
    watcher.sees(&[&person.name], SOON).await;
    let (before, began) = (watcher.frames, Instant::now());
    let mut sockets = Vec::new();
    for other in &others {
        for _ in 0..4 {
            sockets.push(other.connects(&room).await);
        }
    }
    let mut all: Vec<&str> = others.iter().map(|other| other.name.as_str()).collect();
    all.push(&person.name);
    watcher.sees(&all, SOON).await;
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(watcher.frames - before <= seconds + 2, "{} frames in {seconds} s", watcher.frames - before);
    let late = eventually("whoever comes last is told of all", SOON, || async {
        let mut late = Watcher::of(&others[0], &room).await;
        late.sees(&all, SOON).await;
        Some(late.frames)
    });
    assert!(late.await <= 2);
}
