//! A newer backchat gives the history another layout while people chat and read.
//!
//! There is one program only: the newer one is the same behind a [`Translator`], by which it is of the next layout. Its tables have the
//! next number, and the layout that it finds is one less to it than to the other.

use broker::Broker;
use protocol::frame::EventFrame;
use protocol::query::{HistoryAnswer, HistoryQuery, Verified, Verify};
use protocol::subject::Shard;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::calm::{Calm, Talk};
use tests::eventually::eventually;
use tests::json_socket::JsonSocket;
use tests::person::Person;
use tests::random::Random;
use tests::services::Services;
use tests::stored;
use tests::surreal::{Change, Surreal, Translator};
use tokio::time::{Instant, sleep};

const MESSAGES: usize = 120;
/// Longest wait until the newer one has read the log, compared and taken over.
const TAKES_OVER: Duration = Duration::from_secs(60);
/// Older tables are removed when nobody can be reading them any more.
const REMOVED: Duration = Duration::from_secs(60);

/// The tables of rooms and shards, whose names have the layout behind them.
const TABLES: [&str; 15] = [
    "event",
    "sent",
    "reaction",
    "change",
    "text",
    "erase",
    "ended",
    "expired",
    "keep",
    "room",
    "checkpoint",
    "aside",
    "replay",
    "stale",
    "seed",
];
const LAYOUT: i64 = 5;

fn change(from: &str, to: &str) -> Change {
    (from.to_owned(), format!("{to:0$}", from.len()))
}

/// A translator for whose worker each layout is one less than in the database.
async fn one_layout_further(surreal: &Surreal) -> Translator {
    let named = |from: i64, to: i64| {
        TABLES.map(|table| change(&format!("{table}_{from}"), &format!("{table}_{to}"))).to_vec()
    };
    let numbers = vec![
        change("$layout", &(LAYOUT + 1).to_string()),
        change("$older", &LAYOUT.to_string()),
        change("SELECT VALUE version FROM ONLY meta:schema", "RETURN meta:schema.version - 1"),
    ];
    let questions = [numbers, named(LAYOUT, LAYOUT + 1), named(LAYOUT - 1, LAYOUT)].concat();
    let answers = [named(LAYOUT + 1, LAYOUT), named(LAYOUT, LAYOUT - 1)].concat();
    Translator::before(surreal, questions, answers).await
}

/// Everything that the tables of a layout hold.
async fn dump(surreal: &Surreal, layout: i64) -> Vec<Value> {
    let tables = TABLES.map(|table| format!("SELECT * FROM {table}_{layout};"));
    surreal.asked(&tables.concat()).await
}

async fn layout(surreal: &Surreal) -> i64 {
    surreal.asked("meta:schema.version").await[0].as_i64().unwrap()
}

/// Somebody who reads all over a room in which nothing happens any more, as pages and over a socket: what each page took at most.
struct Reader {
    person: Person,
    room: String,
    socket: JsonSocket,
    rows: Vec<EventFrame>,
}

impl Reader {
    async fn of(person: &Person, room: &str) -> Self {
        let mut socket = person.connects(room).await;
        socket.caught_up().await;
        let (rows, more) = socket.rows(i64::MAX as u64, 100).await;
        assert!(more && rows.len() == 100);
        Self { person: person.clone(), room: room.to_owned(), socket, rows }
    }

    async fn reads(mut self, stop: Arc<AtomicBool>) -> (u64, Duration) {
        let mut random = Random::seeded(1);
        let (mut pages, mut worst) = (0, Duration::ZERO);
        while !stop.load(Ordering::Relaxed) {
            let end = 30 + random.index(self.rows.len() - 30);
            let before = seq(&self.rows[end]);
            let began = Instant::now();
            let (rows, _) = self.socket.rows(before, 20).await;
            worst = worst.max(began.elapsed());
            assert_eq!(rows, self.rows[end - 20..end], "a page before {before}");
            let began = Instant::now();
            let page = self.person.get(&format!("/room/{}/history/?before={before}", self.room)).await;
            worst = worst.max(began.elapsed());
            assert_eq!(page.status, 200, "{}", page.body);
            let shown: Vec<_> = tests::html::rows(&page.body).into_iter().map(|row| row.seq).collect();
            let known: Vec<_> = self.rows[..end].iter().map(seq).collect();
            assert!(shown.ends_with(&known) || known.ends_with(&shown), "{shown:?} before {before}");
            pages += 2;
            sleep(Duration::from_millis(20)).await;
        }
        (pages, worst)
    }
}

/// What the history worker says of its whole shard, compared with the log.
async fn verified(broker: &Broker) -> Verified {
    let (mut all, mut next) = (Verified::default(), Some(Verify::Rooms { after: None }));
    while let Some(what) = next {
        let asked = HistoryQuery::Verify(what);
        let answer = broker.ask(Shard(0).history_queries(), &asked, Duration::from_secs(10)).await;
        let Ok(HistoryAnswer::Verified(part)) = answer else { panic!("{answer:?}") };
        next = part.next.clone();
        all.add(part);
    }
    all
}

fn seq(row: &EventFrame) -> u64 {
    serde_json::to_value(row).unwrap()["seq"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_layout_takes_over_while_people_chat_and_read() {
    let surreal = Surreal::start().await;
    let database = surreal.database();
    let mut services = Services::with(1, &[("BACKCHAT_HISTORY_WORKER_DATABASE", &database)]).await;
    let broker = services.nats.connect().await;
    let (ann, ben) = (
        Person::arrives(&services.address(0), "Ann").await,
        Person::arrives(&services.address(0), "Ben").await,
    );
    let (quiet, busy) = (ann.creates("Quiet").await, ben.creates("Busy").await);
    let mut socket = ann.connects(&quiet).await;
    socket.caught_up().await;
    socket.say_all((0..MESSAGES).map(|number| format!("m-{number}"))).await;
    let said = socket.whole_history(100).await;
    let edit = socket.edit(said[90].id, "edited").await;
    socket.acknowledged(edit).await;
    let reaction = socket.react(said[91].id, "👍", true).await;
    socket.acknowledged(reaction).await;
    stored::worker_history(&broker, &quiet).await;
    let stop = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn(Reader::of(&ann, &quiet).await.reads(Arc::clone(&stop)));
    let talk = Talk { listeners: 2, speakers: 2, every: Duration::from_millis(30), bytes: 100 };
    let calm = Calm::in_room(&ben, &busy, talk).await;
    sleep(Duration::from_secs(1)).await;

    // The newer one fills its tables beside those that are read, and is not ready meanwhile.
    let translator = one_layout_further(&surreal).await;
    let mut newer = services.another_worker(&translator.database());
    newer.start_without_waiting();
    eventually("the newer one has taken over", TAKES_OVER, || async {
        let is_ready = newer.is_ready().await;
        let is_read = layout(&surreal).await == LAYOUT + 1;
        assert!(is_read || !is_ready, "it is ready before its tables are read");
        is_read.then_some(())
    })
    .await;
    let before = dump(&surreal, LAYOUT).await;
    assert!(before[0].as_array().is_some_and(|events| events.len() > MESSAGES), "the older tables are there");
    newer.ready().await;
    let code = services.worker.ended(TAKES_OVER).await;
    let why = "has another layout now, of a newer backchat";
    assert!(code != 0 && services.worker.log().contains(why), "{code}: {}", services.worker.log());
    // Whoever starts the older one again is told the same.
    services.worker.start_without_waiting();
    let code = services.worker.ended(TAKES_OVER).await;
    assert!(code == 2 && services.worker.log().contains("use a newer backchat"), "{}", services.worker.log());
    sleep(Duration::from_secs(2)).await;
    assert!(dump(&surreal, LAYOUT).await == before, "the older one has written after the other took over");

    stop.store(true, Ordering::Relaxed);
    let (read, worst) = reading.await.unwrap();
    assert!(read > 40 && worst < Duration::from_secs(5), "{read} pages, the slowest in {worst:?}");
    calm.end().await.is_nothing();
    let proved = verified(&broker).await;
    assert_eq!((proved.rooms, proved.different), (2, 0), "{proved:?}");
    let pages =
        async |from: &str| services.gateways[0].metric(&format!("pages_total{{from=\"{from}\"}}")).await;
    assert_eq!(pages("failed").await, Some(0));
    assert!(pages("worker").await > Some(20), "{:?}", pages("worker").await);
    eventually("the older tables are removed", REMOVED, || async {
        let info = surreal.asked("(INFO FOR DB).tables").await;
        let older = format!("_{LAYOUT}");
        let tables = info[0].as_object().unwrap().keys();
        (tables.filter(|table| table.ends_with(&older)).count() == 0).then_some(())
    })
    .await;
    assert_eq!(newer.terminate().await, 0);
}
