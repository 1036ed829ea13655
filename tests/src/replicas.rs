//! How long the servers of a cluster keep the bytes of what was erased: beside the stream each has a journal of what the servers agreed
//! on, which loses them at its next snapshot.

use crate::cluster::Cluster;
use crate::files::files_with;
use crate::operator::{ask, holder};
use crate::person::Person;
use crate::services::{Servers, Services};
use protocol::keys::{KeyAdmin, KeyAdminAnswer, KeyName};
use protocol::subject::Shard;
use protocol::{Event, SealedEvent, subject};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SERVERS: usize = 3;
/// How often the files are looked at; as often somebody says something.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When it is given up.
const PATIENCE: Duration = Duration::from_secs(600);

/// Something that was erased, as it stood in the broker's files.
struct Needle {
    what: &'static str,
    bytes: String,
}

/// Erases a message and a person, and tells when each server's files have lost their bytes. Gives the longest time.
///
/// # Panics
/// When something fails, or a server has them for too long.
pub async fn run(say: impl Fn(String)) -> Duration {
    let services = Services::on(Cluster::start(SERVERS).await, 1, &[]).await;
    let broker = services.nats.connect().await;
    let ann = Person::arrives(&services.address(0), "Ann").await;
    let ben = Person::arrives(&services.address(0), "Ben").await;
    let room = ben.creates("Replicated").await;
    ann.joins(&room).await;
    let mut socket = ben.connects(&room).await;
    socket.caught_up().await;
    let id = socket.send("to be deleted").await;
    let (seq, _) = socket.acknowledged(id).await;
    let record = broker.get(&Shard(0).stream(), seq).await.expect("the broker answers");
    let event = SealedEvent::decode(&record.expect("it is stored").payload).expect("an event");
    let Event::Message { body, .. } = event else { panic!("a message was said") };
    let holder = holder(&broker, &ann.name).await;
    let key = KeyName { holder: holder.clone(), generation: 1 }.subject();
    let record = broker.last_confirmed(subject::KEYS_STREAM, &key).await.expect("the broker answers");
    let wrapped = String::from_utf8(record.expect("she has a key").payload.to_vec()).expect("JSON");
    let needles = [
        Needle { what: "the deleted message", bytes: body.sealed.to_text() },
        Needle { what: "the erased key", bytes: wrapped[8..wrapped.len() - 2].to_owned() },
    ];
    for needle in &needles {
        let there = services
            .nats
            .folders()
            .into_iter()
            .filter(|folder| !files_with(folder, &[&needle.bytes]).is_empty());
        assert_eq!(there.count(), SERVERS, "every server has {}", needle.what);
    }

    let began = Instant::now();
    let deletion = socket.delete(id).await;
    socket.acknowledged(deletion).await;
    let erased = ask(&broker, &KeyAdmin::Erase { holder }).await;
    assert_eq!(erased, Ok(KeyAdminAnswer::Erased { keys: 1 }));
    let mut left: Vec<(usize, &Needle)> =
        (0..SERVERS).flat_map(|server| needles.iter().map(move |needle| (server, needle))).collect();
    while !left.is_empty() {
        assert!(began.elapsed() < PATIENCE, "they are still in the files of {} servers", left.len());
        sleep(LOOK_EVERY).await;
        socket.say("still here").await;
        left.retain(|(server, needle)| {
            let folder = services.nats.server(*server).folder();
            let is_there = !files_with(folder, &[&needle.bytes]).is_empty();
            if !is_there {
                let after = began.elapsed().as_secs_f64();
                say(format!("{} has left the files of server {server} after {after:.0} s", needle.what));
            }
            is_there
        });
    }
    began.elapsed()
}
