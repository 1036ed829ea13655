//! A real SurrealDB server, with a database for a history, and a translator that makes a program one of another layout there.

use crate::eventually::{SOON, eventually};
use crate::http::Ask;
use crate::ports;
use crate::process::{Launch, Program};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{accept_hdr_async, connect_async};

/// The user of the whole server; the password is the name.
const ROOT: &str = "root";
const NAMESPACE: &str = "chat";
const DATABASE: &str = "history";

/// The server. Dropping it ends it, and removes what it stored.
pub struct Surreal {
    _program: Program,
    port: u16,
    _folder: TempDir,
}

impl Surreal {
    /// # Panics
    /// When `SURREALDB_SERVER` names no server, or it does not answer.
    pub async fn start() -> Self {
        let program = std::env::var_os("SURREALDB_SERVER")
            .expect("SURREALDB_SERVER names a SurrealDB server (`scripts/surrealdb-server` compiles one)");
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let port = ports::free();
        let launch = Launch::new(Path::new(&program), folder.path())
            .words("start --no-banner --username root --password root --bind")
            .argument(format!("127.0.0.1:{port}"))
            .argument(format!("surrealkv://{}?sync=every", folder.path().join("store").display()));
        let server = Self { _program: Program::start(launch), port, _folder: folder };
        eventually("the SurrealDB server answers", SOON, || async {
            let answer = Ask::get("/health").try_send(&server.address()).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
        server.asked("DEFINE NAMESPACE IF NOT EXISTS chat; USE NS chat; DEFINE DATABASE history;").await;
        server
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The database as a worker's setting names it.
    pub fn database(&self) -> String {
        database_at(&self.address())
    }

    /// What the statements return, one after the other.
    ///
    /// # Panics
    /// When one of them fails.
    pub async fn asked(&self, statements: &str) -> Vec<Value> {
        let user = data_encoding::BASE64.encode(format!("{ROOT}:{ROOT}").as_bytes());
        let ask = Ask::post_text("/sql", statements)
            .header("authorization", &format!("Basic {user}"))
            .header("accept", "application/json")
            .header("surreal-ns", NAMESPACE)
            .header("surreal-db", DATABASE);
        let answer = ask.send(&self.address()).await;
        assert_eq!(answer.status, 200, "{statements}: {}", answer.body);
        let Value::Array(results) = answer.json() else { panic!("no list: {}", answer.body) };
        let result = |mut result: Value| {
            assert_eq!(result["status"], "OK", "{statements}: {result}");
            result["result"].take()
        };
        results.into_iter().map(result).collect()
    }
}

fn database_at(address: &str) -> String {
    format!("ws://{ROOT}:{ROOT}@{address}/{NAMESPACE}/{DATABASE}")
}

/// What is written in the place of what. Both have as many bytes, so that every length that was announced stays true.
pub type Change = (String, String);

/// A program before a SurrealDB server to which its words are changed, and the answers back. Dropping it takes no more connections.
pub struct Translator {
    address: String,
    accepting: tokio::task::JoinHandle<()>,
}

impl Translator {
    /// # Panics
    /// When no port can be listened on.
    pub async fn before(server: &Surreal, questions: Vec<Change>, answers: Vec<Change>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", ports::free())).await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address").to_string();
        let upstream = server.address();
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (upstream, questions, answers) = (upstream.clone(), questions.clone(), answers.clone());
                tokio::spawn(async move { drop(carry(near, &upstream, &questions, &answers).await) });
            }
        });
        Self { address, accepting }
    }

    /// The database behind it, as a worker's setting names it.
    pub fn database(&self) -> String {
        database_at(&self.address)
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Notes which protocol is asked for, and takes it.
struct Greeting<'a>(&'a mut Option<HeaderValue>);

impl Callback for Greeting<'_> {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        let spoken = request.headers().get(SEC_WEBSOCKET_PROTOCOL).cloned();
        if let Some(spoken) = &spoken {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, spoken.clone());
        }
        *self.0 = spoken;
        Ok(response)
    }
}

async fn carry(
    near: TcpStream,
    upstream: &str,
    questions: &[Change],
    answers: &[Change],
) -> Result<(), Error> {
    let mut spoken = None;
    let near = accept_hdr_async(near, Greeting(&mut spoken)).await?;
    let mut request = format!("ws://{upstream}/rpc").into_client_request()?;
    if let Some(spoken) = spoken {
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, spoken);
    }
    let (far, _) = connect_async(request).await?;
    let ((near_write, near_read), (far_write, far_read)) = (near.split(), far.split());
    // Either end's end is the other's.
    tokio::select! {
        ended = one_way(near_read, far_write, questions) => ended,
        ended = one_way(far_read, near_write, answers) => ended,
    }
}

async fn one_way(
    mut read: impl Stream<Item = Result<Message, Error>> + Unpin,
    mut write: impl Sink<Message, Error = Error> + Unpin,
    changes: &[Change],
) -> Result<(), Error> {
    while let Some(message) = read.next().await {
        let message = match message? {
            Message::Binary(bytes) => Message::Binary(changed(&bytes, changes).into()),
            other => other,
        };
        write.send(message).await?;
    }
    Ok(())
}

/// Each place is changed once at most, by the first change that fits.
fn changed(bytes: &Bytes, changes: &[Change]) -> Vec<u8> {
    let (mut changed, mut at) = (bytes.to_vec(), 0);
    while at < changed.len() {
        let fits = changes.iter().find(|(from, _)| changed[at..].starts_with(from.as_bytes()));
        match fits {
            Some((from, to)) => {
                assert_eq!(from.len(), to.len(), "{from} and {to}");
                changed[at..at + from.len()].copy_from_slice(to.as_bytes());
                at += from.len();
            }
            None => at += 1,
        }
    }
    changed
}
