//! Look-ups of last messages that come together are one request: hundreds of people who come back in one moment cost the broker a
//! few answers to many, and one who comes alone waits for nobody.

use crate::{Broker, Error, Record, connection::ANSWER_MS, read::SUBJECTS_MAX};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Look-ups that wait at this program, for each stream; more wait for a place.
const WAITING_MAX: usize = 8_192;
/// While an answer is awaited, others gather for the next request; a server that does not answer holds them up no longer than this.
const GATHER: Duration = Duration::from_millis(2);
/// Requests under way, for each stream.
const ROUNDS_MAX: usize = 64;

type Found = Result<Option<Record>, Error>;

struct Lookup {
    subject: String,
    answer: oneshot::Sender<Found>,
}

/// Who gathers the look-ups of each stream.
#[derive(Default)]
pub(crate) struct Lookups(Mutex<HashMap<String, mpsc::Sender<Lookup>>>);

impl Lookups {
    /// The last message on a subject.
    pub async fn last(&self, broker: &Broker, stream: &str, subject: &str) -> Found {
        let (answer, found) = oneshot::channel();
        let lookup = Lookup { subject: subject.to_owned(), answer };
        let asked = self.gatherer(broker, stream);
        let place = timeout(Duration::from_millis(ANSWER_MS), asked.send(lookup)).await;
        place.map_err(|_| Error::TimedOut)?.map_err(|_| Error::Disconnected)?;
        // Whoever gathers answers each, and is gone only when the program ends.
        found.await.map_err(|_| Error::Disconnected)?
    }

    fn gatherer(&self, broker: &Broker, stream: &str) -> mpsc::Sender<Lookup> {
        let mut gatherers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = gatherers.get(stream).filter(|asked| !asked.is_closed()) {
            return asked.clone();
        }
        let (asked, asking) = mpsc::channel(WAITING_MAX);
        // It ends when the last handle of the broker is gone, and with it the other end of its queue.
        tokio::spawn(gather(broker.without_lookups(), stream.to_owned(), asking));
        gatherers.insert(stream.to_owned(), asked.clone());
        asked
    }
}

async fn gather(broker: Broker, stream: String, mut asking: mpsc::Receiver<Lookup>) {
    let mut rounds = FuturesUnordered::new();
    let mut some = Vec::new();
    loop {
        // Rounds keep what they have; the queue keeps what was not taken.
        let taken = tokio::select! {
            biased;
            Some(()) = rounds.next() => continue,
            taken = asking.recv_many(&mut some, SUBJECTS_MAX), if rounds.len() < ROUNDS_MAX => taken,
        };
        if taken == 0 {
            break;
        }
        rounds.push(answer(&broker, &stream, mem::take(&mut some)));
        // That nothing was answered meanwhile only lets the next request go out.
        let _ = timeout(GATHER, rounds.next()).await;
    }
    while rounds.next().await.is_some() {}
}

async fn answer(broker: &Broker, stream: &str, mut lookups: Vec<Lookup>) {
    lookups.retain(|lookup| !lookup.answer.is_closed());
    if let [one] = &lookups[..] {
        let found = broker.last_of_one(stream, &one.subject).await;
        tell(lookups, |_| found.clone());
        return;
    }
    let subjects: BTreeSet<_> = lookups.iter().map(|lookup| lookup.subject.clone()).collect();
    let subjects: Vec<_> = subjects.into_iter().collect();
    match broker.last_many(stream, &subjects).await {
        Ok(records) => {
            let by_subject: HashMap<_, _> =
                records.into_iter().map(|record| (record.subject.clone(), record)).collect();
            tell(lookups, |subject| Ok(by_subject.get(subject).cloned()));
        }
        Err(error) => tell(lookups, |_| Err(error.clone())),
    }
}

fn tell(lookups: Vec<Lookup>, found: impl Fn(&str) -> Found) {
    for Lookup { subject, answer } in lookups {
        // Whoever asked may have gone.
        let _ = answer.send(found(&subject));
    }
}
