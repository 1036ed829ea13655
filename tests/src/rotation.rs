//! A root key that takes over from another, with as many keys as one likes, while somebody talks and the auth service dies on the way.

use crate::json_socket::JsonSocket;
use crate::operator::{all_keys, ask, status, stores_a_key};
use crate::person::Person;
use crate::services::Services;
use broker::Broker;
use futures_util::{StreamExt, stream};
use protocol::keys::{KeyAdmin, KeyState};
use sealing::{Root, RootSource, Roots};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// Keys that are written at once before the rotation.
const WRITERS: usize = 64;
/// Pause between two messages of whoever talks.
const TALK_EVERY: Duration = Duration::from_millis(20);
/// How often it is looked how far the rotation is.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the talk goes on before, to be compared with.
const QUIET: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    pub keys: u64,
    pub took: Duration,
    /// Median times to an acknowledgement: without a rotation, and while one went on.
    pub quiet: Duration,
    pub busy: Duration,
    /// Messages that were acknowledged meanwhile.
    pub said: usize,
    /// Keys that the old root key still opens, of all copies in the stream.
    pub still_opened: usize,
}

/// Runs it all; `say` is told how far it is.
///
/// # Panics
/// When something fails.
pub async fn run(keys: usize, say: impl Fn(String)) -> Seen {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    sealing::store(folder.path(), &Root::random(1).expect("random bytes"))
        .expect("a root key can be written");
    let path = folder.path().to_string_lossy().into_owned();
    let settings = [("BACKCHAT_GATEWAY_ROOTS", &*path), ("BACKCHAT_AUTH_SERVICE_ROOTS", &path)];
    let mut services = Services::with(1, &settings).await;
    let broker = services.nats.connect().await;
    let source = RootSource::Folder(folder.path().to_owned());
    let old = Roots::read(&source).expect("the root key can be read");
    let began = Instant::now();
    fill(&broker, &old, keys).await;
    say(format!("{keys} keys were written in {:.0} s", began.elapsed().as_secs_f64()));

    let ann = Person::arrives(&services.address(0), "Ann").await;
    let room = ann.creates("Rotated").await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    let (mut socket, quiet) = talk(socket, async || sleep(QUIET).await).await;

    sealing::store(folder.path(), &Root::random(2).expect("random bytes"))
        .expect("a root key can be written");
    let began = Instant::now();
    ask(&broker, &KeyAdmin::Rotate).await.expect("the auth service answers");
    let rotating = async || {
        let mut is_killed = false;
        loop {
            sleep(LOOK_EVERY).await;
            let Some(status) = status(&broker).await else { continue };
            let Some(rotation) = status.rotation else {
                if status.under.iter().all(|under| under.root == 2) {
                    return;
                }
                continue;
            };
            say(format!("{} of {}, {:.0} s", rotation.done, rotation.of, began.elapsed().as_secs_f64()));
            if !is_killed && rotation.done > rotation.of / 2 {
                is_killed = true;
                services.auth.kill();
                services.auth.start().await;
                say("the auth service was killed at half way, and started again".into());
            }
        }
    };
    let busy;
    (socket, busy) = talk(socket, rotating).await;
    let took = began.elapsed();
    drop(socket);

    let copies = all_keys(&broker).await;
    let is_opened = |(subject, state): &(String, KeyState)| match state {
        KeyState::Wrapped { key } => old.unwrap(subject, key).is_ok(),
        KeyState::Erased { .. } => false,
    };
    let still_opened = copies.iter().filter(|copy| is_opened(copy)).count();
    Seen {
        keys: copies.len() as u64,
        took,
        quiet: median(&quiet),
        busy: median(&busy),
        said: busy.len(),
        still_opened,
    }
}

async fn fill(broker: &Broker, roots: &Roots, keys: usize) {
    let writing = (0..keys).map(|_| stores_a_key(broker, roots));
    stream::iter(writing).buffer_unordered(WRITERS).collect::<Vec<()>>().await;
}

/// Says something again and again until `until` is over, and gives how long each acknowledgement took.
async fn talk(mut socket: JsonSocket, until: impl AsyncFnOnce()) -> (JsonSocket, Vec<Duration>) {
    let (over, mut is_over) = oneshot::channel();
    let talking = async {
        let mut took = Vec::new();
        while is_over.try_recv().is_err() {
            let began = Instant::now();
            socket.say("still here").await;
            took.push(began.elapsed());
            sleep(TALK_EVERY).await;
        }
        (socket, took)
    };
    let waiting = async {
        until().await;
        let _ = over.send(());
    };
    tokio::join!(talking, waiting).0
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
