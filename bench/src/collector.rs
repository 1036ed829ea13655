//! What takes the spans of traces that gateways export, counts them and forgets them.

use axum::{Json, Router, body::Bytes, extract::State, routing::post};
use memchr::memmem;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};
use tokio::{net::TcpListener, runtime::Builder};

/// It listens until the benchmark ends.
pub struct Collector {
    pub address: String,
    spans: Arc<AtomicU64>,
}

impl Collector {
    /// Listens on a port of its own, in a thread of its own.
    ///
    /// # Errors
    /// One line for the person at the terminal.
    pub fn start() -> Result<Self, String> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let listener =
            runtime.block_on(TcpListener::bind("127.0.0.1:0")).map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let spans = Arc::new(AtomicU64::new(0));
        let app = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
        thread::spawn(move || runtime.block_on(serve(listener, app)));
        Ok(Self { address: format!("http://{address}"), spans })
    }

    /// Spans that came until now.
    pub fn spans(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }
}

#[expect(clippy::disallowed_methods, reason = "its only callers are the gateways of the benchmark")]
async fn serve(listener: TcpListener, app: Router) {
    // It ends with the benchmark.
    let _ = axum::serve(listener, app).await;
}

async fn take(State(spans): State<Arc<AtomicU64>>, body: Bytes) -> Json<serde_json::Value> {
    let came = memmem::find_iter(&body, "\"spanId\"").count();
    spans.fetch_add(came as u64, Ordering::Relaxed);
    Json(serde_json::json!({}))
}
