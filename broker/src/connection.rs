use crate::{Error, again, lookups::Lookups};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, Message};
use bytes::Bytes;
use serde_json::Value;
use service::{
    config::{Source, without_passwords},
    tls,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// Longest wait for one answer of the broker, in milliseconds.
pub(crate) const ANSWER_MS: u64 = 5_000;
/// The client's own time-out does not cover the wait for a place in its queue of commands.
pub(crate) const ANSWER_LONGEST: Duration = Duration::from_millis(ANSWER_MS + 500);
/// Longest wait for a new connection when a request finds none, in milliseconds.
const CONNECTION_WAIT_MS: u64 = 8_000;
/// Messages that one subscription may hold before the newest are dropped (and the hole repaired).
const SUBSCRIPTION_MESSAGES_MAX: usize = 8_192;
/// Longest pause between two attempts to connect, in milliseconds.
const RECONNECT_MS_MAX: u64 = 2_000;

/// The setting of the broker's authorities.
const CA: &str = "nats_ca";
const CA_MEANING: &str = "File of PEM certificates that must have signed those of the NATS servers; unset, the public ones of this machine";

/// Where the broker is and who asks.
#[derive(Clone)]
pub struct Credentials {
    /// One address or several with commas between: `nats://host:4222`.
    pub url: String,
    pub user: Option<String>,
    pub password: Option<String>,
    /// The file with the authorities that signed the servers' certificates, where it is none that everybody believes.
    pub ca: Option<PathBuf>,
    /// How this service calls itself, for the broker's monitoring. Its inbox is `_INBOX_<name>`, so that
    /// a broker that checks permissions keeps services from reading each other's answers.
    pub name: String,
}

impl Credentials {
    /// Those of a broker that lets everybody in.
    pub fn of_nobody(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self { url: url.into(), user: None, password: None, ca: None, name: name.into() }
    }

    /// Reads them from a service's settings. `name` is how the service calls itself.
    pub fn read(source: &mut Source, name: &str) -> Self {
        let password = source.secret("nats_password", "The password at the broker");
        Self {
            url: source.value(
                "nats_url",
                "nats://127.0.0.1:4222",
                "The NATS server, or several with commas between; tls:// in the place of nats:// speaks TLS and nothing else",
            ),
            user: source.optional("nats_user", "The user at the broker"),
            password: (!password.is_empty()).then(|| password.expose().to_owned()),
            ca: source.optional(CA, CA_MEANING),
            name: name.to_owned(),
        }
    }
}

/// What is known of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    pub connected: bool,
    /// Rises whenever something may have been missed: a new connection, or a subscription that overflowed.
    /// Whoever follows anything then looks at what is stored.
    pub epoch: u64,
}

/// A connection to the broker. Cloning is cheap and shares it.
#[derive(Clone)]
pub struct Broker {
    pub(crate) client: Client,
    state: Arc<watch::Sender<Connection>>,
    pub(crate) lookups: Arc<Lookups>,
}

impl Broker {
    /// Connects, and tries again until `patience` is over. Afterwards lost connections come back by themselves.
    ///
    /// # Errors
    /// [`Error::Denied`] or [`Error::Refused`] with the last reason when no connection came about, or
    /// [`Error::Setup`] when the server is older than 2.12, or its authorities can't be read.
    pub async fn connect(credentials: &Credentials, patience: Duration) -> Result<Self, Error> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            match Self::connect_once(credentials).await {
                Ok(broker) => return broker.checked(),
                Err(error @ Error::Setup(_)) => return Err(error),
                Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "the broker is not there yet");
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            }
        }
    }

    async fn connect_once(credentials: &Credentials) -> Result<Self, Error> {
        Self::connect_and_hear(credentials, |_| {}).await
    }

    /// The same, where somebody else hears what the connection tells too.
    pub(crate) async fn connect_and_hear(
        credentials: &Credentials,
        hear: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let (state, _) = watch::channel(Connection { connected: false, epoch: 0 });
        let state = Arc::new(state);
        let events = Arc::clone(&state);
        let mut options = ConnectOptions::new()
            .name(&credentials.name)
            .custom_inbox_prefix(format!("_INBOX_{}", credentials.name.replace(['.', ' '], "_")))
            .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
            .connection_timeout(Duration::from_secs(5))
            .ping_interval(Duration::from_secs(10))
            .request_timeout(Some(Duration::from_millis(ANSWER_MS)))
            .max_reconnects(None)
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                note(&events, &event);
                hear(&event);
                std::future::ready(())
            });
        if let (Some(user), Some(password)) = (&credentials.user, &credentials.password) {
            options = options.user_and_password(user.clone(), password.clone());
        }
        if let Some(file) = &credentials.ca {
            options = options.tls_client_config(tls::trusting(file).map_err(Error::Setup)?);
        }
        // The client's own reading of a text knows one address only.
        let servers: Vec<&str> = credentials.url.split(',').map(str::trim).collect();
        let client = options.connect(servers.as_slice()).await;
        let client = client.map_err(|error| {
            let url = without_passwords(&credentials.url);
            match error.kind() {
                ConnectErrorKind::AuthorizationViolation => Error::Denied(url),
                _ => Error::Refused(format!("{url} ({error})")),
            }
        })?;
        state.send_modify(|s| s.connected = true);
        Ok(Self { client, state, lookups: Arc::default() })
    }

    /// The same connection for whoever serves its look-ups, and must not keep itself alive by it.
    pub(crate) fn without_lookups(&self) -> Self {
        Self { client: self.client.clone(), state: Arc::clone(&self.state), lookups: Arc::default() }
    }

    fn checked(self) -> Result<Self, Error> {
        let info = self.client.server_info();
        if self.client.is_server_compatible(2, 12, 0) {
            return Ok(self);
        }
        Err(Error::Setup(format!(
            "the NATS server is {}, but backchat needs 2.12 or newer (atomic batches)",
            info.version
        )))
    }

    /// The connection's state, to be watched.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.state.subscribe()
    }

    /// Returns at once while connected, else waits a little for the connection to come back.
    pub(crate) async fn connected(&self) -> Result<(), Error> {
        let mut state = self.state.subscribe();
        let wait = state.wait_for(|s| s.connected);
        match timeout(Duration::from_millis(CONNECTION_WAIT_MS), wait).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::Disconnected),
        }
    }

    /// A request that changes nothing.
    pub(crate) async fn read(&self, subject: &str, payload: Bytes) -> Result<Message, Error> {
        let read = || self.request_until_answered(|| (subject.to_owned(), None, payload.clone()), Ok);
        again::when_disconnected(read).await
    }

    /// A request that may be sent twice, and is sent again while no answer comes. It fails at once when the connection breaks: what was
    /// asked may have happened. `read` says what an answer means; [`Error::TimedOut`], that another is to be awaited.
    pub(crate) async fn request_until_answered<T>(
        &self,
        asked: impl Fn() -> (String, Option<HeaderMap>, Bytes),
        read: impl Fn(Message) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.connected().await?;
        let ask = || async { read(self.answer(asked()).await?) };
        again::when_unanswered(again::SMALL, ask).await
    }

    /// A request. It fails at once when the connection breaks before the answer came: what was asked may have happened.
    pub(crate) async fn request(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, Error> {
        self.connected().await?;
        self.answer((subject, headers, payload)).await
    }

    pub(crate) async fn answer(
        &self,
        (subject, headers, payload): (String, Option<HeaderMap>, Bytes),
    ) -> Result<Message, Error> {
        let mut request = async_nats::Request::new().payload(payload);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let answer = timeout(ANSWER_LONGEST, self.client.send_request(subject.clone(), request));
        // Both may be cancelled: an answer that nobody waits for is dropped.
        tokio::select! {
            answer = answer => match answer {
                Err(_) => Err(Error::TimedOut),
                Ok(Err(error)) => Err(match error.into() {
                    Error::NobodyThere(_) => Error::NobodyThere(subject),
                    other => other,
                }),
                Ok(Ok(message)) => Ok(message),
            },
            () = self.disconnected() => Err(Error::Disconnected),
        }
    }

    /// Ends when the connection breaks.
    pub(crate) async fn disconnected(&self) {
        // The sender lives as long as `self`, so this ends only for the reason it is named after.
        let _ = self.state.subscribe().wait_for(|s| !s.connected).await;
    }

    /// What the JetStream API says of something.
    pub(crate) async fn api(&self, subject: &str, body: &Value) -> Result<Value, Error> {
        let body = Bytes::from(body.to_string());
        let asked = || (format!("$JS.API.{subject}"), None, body.clone());
        again::when_disconnected(|| self.request_until_answered(asked, |answer| api_answer(&answer))).await
    }

    /// An order to the JetStream API that does nothing more when it is given twice.
    pub(crate) async fn api_order(&self, subject: &str, body: &Value) -> Result<Value, Error> {
        let body = Bytes::from(body.to_string());
        let order = || self.request(format!("$JS.API.{subject}"), None, body.clone());
        api_answer(&again::when_disconnected(order).await?)
    }
}

fn api_answer(message: &Message) -> Result<Value, Error> {
    let answer = serde_json::from_slice(&message.payload).map_err(|_| Error::Malformed("JSON"))?;
    api_error(&answer).map_or(Ok(answer), Err)
}

pub(crate) fn api_error(answer: &Value) -> Option<Error> {
    let error = answer.get("error")?;
    let description = error["description"].as_str().unwrap_or("no reason given");
    Some(Error::of_api(error["err_code"].as_u64().unwrap_or(0), description))
}

fn note(state: &watch::Sender<Connection>, event: &Event) {
    match event {
        Event::Connected => state.send_modify(|s| {
            s.connected = true;
            s.epoch += 1;
        }),
        Event::Disconnected | Event::Closed => state.send_modify(|s| s.connected = false),
        Event::SlowConsumer(_) => state.send_modify(|s| s.epoch += 1),
        _ => {}
    }
    match event {
        Event::Connected => tracing::info!("connected to the broker"),
        Event::SlowConsumer(_) => tracing::warn!("a subscription overflowed; its holes are being repaired"),
        Event::Closed => tracing::debug!("the connection to the broker is closed"),
        other => tracing::warn!(event = %other, "broker connection"),
    }
}

/// Rises to two seconds, with jitter, so that many services do not come back in the same instant.
fn reconnect_delay(attempt: usize) -> Duration {
    let ceiling = 50_u64.saturating_mul(1 << attempt.min(6)).min(RECONNECT_MS_MAX);
    let random = u64::from(std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), attempt) as u32);
    Duration::from_millis(ceiling / 2 + random % (ceiling / 2 + 1))
}
