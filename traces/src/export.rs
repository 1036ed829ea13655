//! Sending spans to the collector, in batches, beside everything else.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::collector::Connector;
use crate::otlp::{Resource, rejected};
use crate::signals::Signals;
use crate::span::Ended;

/// Spans sent at once, at most.
const BATCH: usize = 512;
/// How long spans are gathered for a batch, since its first.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what is left at the end may take.
const FLUSH: Duration = Duration::from_secs(2);

/// The sending of one service's spans, while the service runs.
#[derive(Debug)]
pub struct Exporting(Option<(JoinHandle<()>, DropGuard)>);

impl Exporting {
    pub(crate) const fn nothing() -> Self {
        Self(None)
    }

    pub(crate) fn start(
        spans: mpsc::Receiver<Ended>,
        connector: Connector,
        service: &'static str,
        signals: Signals,
    ) -> Self {
        let stop = CancellationToken::new();
        let exporter = Exporter {
            spans,
            batch: Vec::new(),
            connector,
            resource: Resource::of(service),
            signals,
            is_away: false,
        };
        let task = tokio::spawn(exporter.run(stop.clone()));
        Self(Some((task, stop.drop_guard())))
    }

    /// Sends what has ended until now, for two seconds at most.
    pub async fn finish(self) {
        let Some((task, stop)) = self.0 else { return };
        drop(stop);
        let abort = task.abort_handle();
        if timeout(FLUSH, task).await.is_err() {
            abort.abort();
            tracing::debug!("the last spans were not sent in time");
        }
    }
}

struct Exporter {
    spans: mpsc::Receiver<Ended>,
    /// Spans in hand.
    batch: Vec<Ended>,
    connector: Connector,
    resource: Resource,
    signals: Signals,
    /// The collector did not take what it was given last.
    is_away: bool,
}

impl Exporter {
    /// Sends until `stop`, then what is left.
    async fn run(mut self, stop: CancellationToken) {
        loop {
            // Inputs: the end, and spans, of which those that came are kept when gathering is cancelled.
            tokio::select! {
                biased;
                () = stop.cancelled(), if !self.spans.is_closed() => {
                    self.spans.close();
                    continue;
                }
                () = self.gather() => {}
            }
            if self.batch.is_empty() {
                return;
            }
            self.send().await;
        }
    }

    /// Waits for a span, and a moment for others; nothing in the batch then means that no more will come. Cancel safe.
    async fn gather(&mut self) {
        let room = BATCH.saturating_sub(self.batch.len());
        if room == 0 || self.spans.recv_many(&mut self.batch, room).await == 0 {
            return;
        }
        let pause = sleep(GATHER);
        tokio::pin!(pause);
        while self.batch.len() < BATCH {
            let room = BATCH - self.batch.len();
            tokio::select! {
                () = &mut pause => return,
                count = self.spans.recv_many(&mut self.batch, room) => if count == 0 { return },
            }
        }
    }

    /// Gives the batch to the collector; what it does not take is dropped.
    async fn send(&mut self) {
        let spans = self.batch.len();
        let body = self.resource.document(&self.batch);
        self.batch.clear();
        let why = match timeout(PATIENCE, self.connector.post(body.into())).await {
            Ok(Ok(answer)) => {
                let rejected = rejected(&answer).min(spans);
                self.signals.exported(spans - rejected);
                self.signals.dropped(rejected);
                if std::mem::take(&mut self.is_away) {
                    tracing::info!("the collector of traces is there again");
                }
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it takes longer than {} s", PATIENCE.as_secs()),
        };
        self.signals.dropped(spans);
        if !std::mem::replace(&mut self.is_away, true) {
            tracing::warn!(why, "the collector of traces takes nothing; spans are dropped until it does");
        }
    }
}
