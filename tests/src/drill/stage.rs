//! Where a drill is done: a topology of its own, on which it acts from outside alone, by the commands of the pages and as people.

use crate::eventually::eventually;
use crate::faults::Size as CrowdSize;
use crate::faults::crowd::{Crowd, Room};
use crate::faults::verdict::Outcome;
use crate::nats;
use crate::pages::Pages;
use crate::person::Person;
use crate::process::{Launch, built};
use crate::random::Random;
use crate::topology::{Size, Topology, control, verify};
use broker::{Broker, Credentials, SETUP};
use serde_json::Value;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Two of what scales, and shards as usual: of some nothing is asked.
const SIZE: Size = Size { gateways: 2, workers: 2, auths: 2, shards: 8 };
/// Forty-eight sockets in two rooms.
const CROWD: CrowdSize = CrowdSize { rooms: 2, people_in_room: 8, per_second: 12 };
/// People talk for so long before something is done, and after it.
const CALM: Duration = Duration::from_secs(3);
/// Longest wait until broker and database run, and for the commands of one block.
const UP: Duration = Duration::from_secs(180);
const BLOCK: Duration = Duration::from_secs(600);

/// The topology and its folder. Dropping it ends every process.
pub struct Stage<'a> {
    /// The folder that stands for the repository's: `cluster` and `cluster.json` are in it.
    pub folder: PathBuf,
    pub address: String,
    pages: &'a Pages,
    /// Where the backups are, and how many were begun.
    backups: PathBuf,
    backup: Cell<usize>,
    running: JoinHandle<()>,
}

impl<'a> Stage<'a> {
    /// Starts an empty broker and an empty database in a folder, as `cluster up empty` does there.
    ///
    /// # Panics
    /// When they do not run in time, or the folder can't be written.
    pub async fn empty(folder: &Path, listen: &str, pages: &'a Pages) -> Self {
        let (cluster, list) = (folder.join("cluster"), folder.join("cluster.json"));
        fs::create_dir_all(&cluster).expect("a folder can be made");
        fs::create_dir_all(folder.join("backups")).expect("a folder can be made");
        let orders = control::listen(&cluster).expect("orders can be taken");
        let (there, listen) = (list.clone(), listen.to_owned());
        let running = tokio::spawn(async move {
            let mut topology = Topology::empty(SIZE, &listen, &cluster, &there).await;
            control::obey(orders, &mut topology, |_| {}).await;
        });
        let listed = || async { list.exists().then_some(()) };
        eventually("broker and database are started", UP, listed).await;
        let (folder, backups) = (folder.to_owned(), folder.join("backups"));
        let mut stage =
            Self { folder, address: String::new(), pages, backups, backup: Cell::new(0), running };
        stage.address = stage.list()["address"].as_str().expect("the list has an address").to_owned();
        // The list is there before they are ready; orders wait until then.
        stage.order("start nats surrealdb").await;
        stage
    }

    /// Another one, whose commands find the same backup.
    ///
    /// # Panics
    /// As [`Stage::empty`].
    pub async fn another(&self, folder: &Path, listen: &str) -> Self {
        let mut other = Self::empty(folder, listen, self.pages).await;
        other.backups.clone_from(&self.backups);
        other.backup.set(self.backup.get());
        other
    }

    /// From now on the commands put a backup in a new place, and find it there.
    pub fn begins_a_backup(&self) {
        self.backup.set(self.backup.get() + 1);
    }

    /// Executes the commands of a block of the pages, and gives what they say.
    ///
    /// # Panics
    /// When one of them fails.
    pub async fn does(&self, block: &str) -> String {
        let programs = built("cluster").parent().expect("a program is in a folder").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let script = format!("cd '{}'\n{}", self.folder.display(), self.pages.block(block));
        let shell = Launch::new("/bin/sh".as_ref(), &self.folder)
            .named(&format!("{block}-{}", crate::person::unique()))
            .words("-eu -c")
            .argument(script)
            .set("PATH", format!("{programs}:{path}"))
            .set("CHAT", &self.address)
            .set("BACKUP", self.backups.join(self.backup.get().to_string()).display());
        let ended = shell.to_the_end(BLOCK).await;
        assert_eq!(ended.code, 0, "{block}: {}", ended.output);
        ended.output
    }

    /// Has the topology do something that no page says.
    ///
    /// # Panics
    /// When it is not done.
    pub async fn order(&self, order: &str) {
        let list = self.list();
        let socket = list["control"].as_str().expect("the list says how orders are given");
        control::ask(Path::new(socket), order, |_| {}).await.unwrap_or_else(|why| panic!("{order}: {why}"));
    }

    /// Somebody new comes, makes a room, writes and reads, as soon as people are let in.
    ///
    /// # Panics
    /// When that can't be done.
    pub async fn newcomer(&self, name: &str) -> (Person, String) {
        let person = Person::arrives(&self.address, name).await;
        let room = person.creates(&format!("Of {name}")).await;
        let path = format!("/room/{room}/");
        let is_open = || async { (person.get(&path).await.status == 200).then_some(()) };
        eventually("the room can be opened", UP, is_open).await;
        let mut socket = person.connects(&room).await;
        socket.caught_up().await;
        socket.say("the first words").await;
        assert_eq!(person.opens(&room).await.messages(), ["the first words"]);
        (person, room)
    }

    /// Has people talk before, during and after something, which is told the codes of their rooms, and audits what they saw.
    ///
    /// # Panics
    /// When the audit is not clean.
    pub async fn while_people_talk<T>(&self, meanwhile: impl AsyncFnOnce(Vec<String>) -> T) -> (T, Talk) {
        let mut random = Random::seeded(Random::any_seed());
        let mut crowd = Crowd::comes(slice::from_ref(&self.address), CROWD, &mut random).await;
        let is_over = AtomicBool::new(false);
        let rooms = crowd.rooms.iter().map(|room| room.code.clone()).collect();
        let doing = async {
            sleep(CALM).await;
            let done = meanwhile(rooms).await;
            sleep(CALM).await;
            is_over.store(true, Ordering::Relaxed);
            done
        };
        let talking = crowd.talks(CROWD, || is_over.load(Ordering::Relaxed), &mut random);
        let (done, _) = tokio::join!(doing, talking);
        let gateways = self.operations("gateway");
        let mut outcome = verify::compared(&mut crowd, &self.broker().await, &gateways).await;
        outcome.logs = self.folder.join("cluster");
        assert!(outcome.is_clean(), "{outcome}");
        (done, Talk { rooms: crowd.rooms, outcome })
    }

    /// A connection to the broker of somebody who may do everything.
    ///
    /// # Panics
    /// When none comes about.
    pub async fn broker(&self) -> Broker {
        let list = self.list();
        let of = |key: &str| list["nats"][key].as_str().map(str::to_owned);
        let url = of("url").expect("the list names the broker");
        nats::connect(Credentials {
            user: of("user"),
            password: of("password"),
            ca: list["ca"].as_str().map(PathBuf::from),
            ..Credentials::of_nobody(url, SETUP)
        })
        .await
    }

    /// Where those of a role say how they are.
    pub fn operations(&self, role: &str) -> Vec<String> {
        let list = self.list();
        let all = list["processes"].as_array().expect("the list has processes").iter();
        let of_role = all.filter(|process| process["role"] == role);
        of_role.filter_map(|process| process["operations"].as_str().map(str::to_owned)).collect()
    }

    fn list(&self) -> Value {
        let list = fs::read_to_string(self.folder.join("cluster.json")).expect("the list can be read");
        serde_json::from_str(&list).expect("the list is JSON")
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// What people said, and what they saw.
pub struct Talk {
    /// Where they were. Nobody is in them any more.
    pub rooms: Vec<Room>,
    pub outcome: Outcome,
}
