//! `backchat try ADDRESS`: does what people do, from an account to a message that is found again, and so uses every service. It takes
//! away what a person can take away.

mod door;

use std::time::Duration;

use protocol::MessageId;
use protocol::query::APPLIED_HEADER;
use serde_json::{Value, json};
use service::probe::Answer;
use service::process::say;
use tokio::time::Instant;

use crate::doctor::finding::Finding;
use crate::reach::in_time;
use crate::{Config, Error};

use door::{Door, random_letters, random_password};

/// How long the history and the search may take to know of a message.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Accept", "application/json");

/// What is wrong, and where to look.
struct Wrong(String, &'static str);

/// What a step gives to the next, and what is said of it.
type Step<T> = Result<(T, String), Wrong>;

/// Tries the chat at the address; a second one, behind a space, is that of its auth service.
///
/// # Errors
/// [`Error::Refused`] when an address is none, [`Error::Faults`] when a step failed, which is said.
pub async fn of(config: &Config, addresses: &str) -> Result<(), Error> {
    let began = Instant::now();
    let door = |address| Door::at(address, config.apart.origin_ca.clone());
    let (chat, auth) = addresses.split_once(' ').unwrap_or((addresses, addresses));
    let (chat, auth) = (door(chat)?, door(auth)?);
    told(config, "edge", answers(&chat, &auth, config.wait)).await?;
    let person = told(config, "account", arrives(config, &auth)).await?;
    let word = random_letters()?;
    let mut visit = Visit { config, chat: &chat, auth: &auth, person, word, room: None, sent: None };
    let tried = visit.everything().await;
    let left = told(config, "leaving", visit.leaves()).await;
    tried.and(left)?;
    let verdict =
        "works: a message was sent, heard, read from the history, found by a search and taken away in";
    let took = began.elapsed().as_millis();
    if config.json {
        say(&json!({ "works": true, "address": chat.address(), "ms": took }).to_string());
    } else {
        say(&format!("\nThe chat at {} {verdict} {took} ms.", chat.address()));
    }
    Ok(())
}

/// Does a step and says what came of it, for whoever reads the log of a pod too.
async fn told<T>(
    config: &Config,
    about: &'static str,
    step: impl Future<Output = Step<T>>,
) -> Result<T, Error> {
    let began = Instant::now();
    let outcome = step.await;
    let took = format!("({} ms)", began.elapsed().as_millis());
    let (given, finding) = match outcome {
        Ok((given, found)) => (Some(given), Finding::good(about, format!("{found} {took}"))),
        Err(Wrong(found, remedy)) => (None, Finding::fault(about, format!("{found} {took}"), remedy)),
    };
    say(&if config.json { json!(finding).to_string() } else { finding.row() });
    given.ok_or(Error::Faults(1))
}

async fn answers(chat: &Door, auth: &Door, wait: Duration) -> Step<()> {
    let asked = async || {
        // Who is not logged in is sent away by a gateway, to that page.
        for (door, path) in [(chat, "/"), (auth, "/auth/login/")] {
            let answer = door.ask(("GET", path), &[], "").await?;
            if !(200..400).contains(&answer.status) {
                return Err(format!("{}{path} answers {}", door.address(), answer.status));
            }
        }
        Ok(((), "gateways and auth service answer".to_owned()))
    };
    in_time(wait, asked).await.map_err(|why| {
        Wrong(why, "see /readyz of gateways and auth services, and of what is in front `backchat doctor --origin ADDRESS`")
    })
}

/// Somebody with a session.
struct Person {
    name: String,
    token: String,
    /// Whether they were registered for this.
    is_new: bool,
}

async fn arrives(config: &Config, auth: &Door) -> Step<Person> {
    const SEE: &str = "see the log and /readyz of the auth services, and their database";
    let wrong = |why: Error| Wrong(why.to_string(), SEE);
    let (name, password, is_new) = match &config.tried_as {
        Some(account) => (account.name.clone(), account.password.expose().to_owned(), false),
        None => {
            let name = format!("try-{}", random_letters().map_err(wrong)?);
            (name, random_password().map_err(wrong)?, true)
        }
    };
    let account = json!({ "name": name, "password": password }).to_string();
    let headers = [("Content-Type", "application/json"), JSON];
    if is_new {
        let answer = auth.ask(("POST", "/auth/register/"), &headers, &account).await;
        expect("registering somebody", answer, 201).map_err(|why| {
            Wrong(why, "where people can't register, name an account in BACKCHAT_TRY_NAME and BACKCHAT_TRY_PASSWORD; else see the auth services")
        })?;
    }
    let answer = auth.ask(("POST", "/auth/login/"), &headers, &account).await;
    let answer = expect("logging in", answer, 200).map_err(|why| Wrong(why, SEE))?;
    let token = value(&answer)["token"].as_str().unwrap_or_default().to_owned();
    let how = if is_new { "registered and logged in" } else { "logged in" };
    Ok((Person { name: name.clone(), token, is_new }, format!("{how} as {name}")))
}

/// A message that was sent.
struct Sent {
    id: MessageId,
    seq: u64,
}

/// What one person does in the chat.
struct Visit<'a> {
    config: &'a Config,
    chat: &'a Door,
    auth: &'a Door,
    person: Person,
    /// What they say.
    word: String,
    room: Option<String>,
    sent: Option<Sent>,
}

impl Visit<'_> {
    async fn everything(&mut self) -> Result<(), Error> {
        self.room = Some(told(self.config, "room", self.makes_a_room()).await?);
        self.sent = Some(told(self.config, "message", self.sends()).await?);
        told(self.config, "history", self.reads_again()).await?;
        told(self.config, "search", self.finds()).await
    }

    async fn makes_a_room(&self) -> Step<String> {
        let form = format!("name=try+{}", self.word);
        let answer = self.ask(self.chat, ("POST", "/create/"), &form).await;
        let made = expect("making a room", answer, 303).and_then(|answer| {
            let to = answer.header("location").next().unwrap_or_default();
            let room = to.strip_prefix("/room/").and_then(|room| room.strip_suffix('/'));
            room.map(str::to_owned).ok_or_else(|| format!("a new room leads to {to:?}"))
        });
        let made = made.map(|room| (room.clone(), format!("made the room {room}")));
        made.map_err(|why| {
            Wrong(
                why,
                "see the log and /readyz of the gateways, and of the auth services, who make a room's key",
            )
        })
    }

    /// Sends a message and hears it as every member does.
    async fn sends(&self) -> Step<Sent> {
        let sent = async {
            let id = MessageId::new();
            let mut socket = self.chat.socket(self.room(), &self.person.token).await?;
            socket.hear("the room's end", |frame| frame["type"] == "caught_up").await?;
            socket.say(&json!({ "type": "send", "id": id, "body": self.word })).await?;
            let is_it = |frame: &Value| frame["type"] == "message" && frame["body"] == *self.word;
            let message = socket.hear("the message", is_it).await?;
            let seq = message["seq"].as_u64().ok_or("the message has no sequence")?;
            Ok((Sent { id, seq }, "sent a message over a WebSocket and heard it".to_owned()))
        };
        sent.await.map_err(|why: String| {
            Wrong(why, "see the log and /readyz of the gateways, and the broker; of a proxy in front `backchat doctor --origin ADDRESS`")
        })
    }

    /// Reads the message as the history worker has it. The gateway would read the log in its place, and says when it did.
    async fn reads_again(&self) -> Step<()> {
        let seq = self.sent.as_ref().map_or(0, |sent| sent.seq);
        let path = format!("/room/{}/history/?before={}", self.room(), seq + 1);
        let asked = async || {
            let answer = expect("the history", self.ask(self.chat, ("GET", &path), "").await, 200)?;
            if !answer.body.contains(&self.word) {
                return Err("the message is missing in the history".to_owned());
            }
            let applied =
                answer.header(APPLIED_HEADER).next().and_then(|applied| applied.parse::<u64>().ok());
            match applied {
                None => Err("no history worker answers: the message was read from the log".to_owned()),
                Some(applied) if applied < seq => {
                    Err(format!("the history worker is at {applied} of the log, and the message at {seq}"))
                }
                Some(_) => Ok(((), "read the message again from the history worker".to_owned())),
            }
        };
        in_time(KNOWN_WITHIN, asked).await.map_err(|why| {
            Wrong(why, "see the log and /readyz of the history workers, and their database; `backchat history status`")
        })
    }

    async fn finds(&self) -> Step<()> {
        let path = format!("/search/?q={}", self.word);
        let asked = async || {
            let answer = expect("a search", self.ask(self.chat, ("GET", &path), "").await, 200)?;
            let hits = value(&answer)["hits"].as_array().map_or(0, Vec::len);
            if hits == 0 {
                return Err("a search does not find the message".to_owned());
            }
            Ok(((), "found the message by a search".to_owned()))
        };
        in_time(KNOWN_WITHIN, asked).await.map_err(|why| {
            Wrong(why, "see the log and /readyz of the search workers; `backchat search status`")
        })
    }

    /// Takes the message away, leaves the room, and logs out; also after something failed, as far as it goes.
    async fn leaves(&self) -> Step<()> {
        let left = async {
            if let Some(sent) = &self.sent {
                self.deletes(sent).await?;
            }
            if self.room.is_some() {
                let path = format!("/room/{}/leave/", self.room());
                expect("leaving the room", self.ask(self.chat, ("POST", &path), "").await, 303)?;
            }
            expect("logging out", self.ask(self.auth, ("POST", "/auth/logout/"), "").await, 204)
        };
        left.await.map_err(|why| Wrong(why, "see the log of the gateways and auth services"))?;
        let stays = if self.person.is_new {
            format!("; the account stays until `backchat erase person {}`", self.person.name)
        } else {
            String::new()
        };
        Ok(((), format!("left nothing but an empty room{stays}")))
    }

    async fn deletes(&self, sent: &Sent) -> Result<(), String> {
        let mut socket = self.chat.socket(self.room(), &self.person.token).await?;
        socket.hear("the room's end", |frame| frame["type"] == "caught_up").await?;
        let target =
            json!({ "type": "delete", "id": MessageId::new(), "target": sent.id, "target_seq": sent.seq });
        socket.say(&target).await?;
        socket.hear("the deletion", |frame| frame["type"] == "deleted").await.map(drop)
    }

    fn room(&self) -> &str {
        self.room.as_deref().unwrap_or_default()
    }

    async fn ask(&self, door: &Door, what: (&str, &str), form: &str) -> Result<Answer, String> {
        let bearer = format!("Bearer {}", self.person.token);
        door.ask(what, &[FORM, JSON, ("Authorization", &bearer)], form).await
    }
}

fn expect(what: &str, answer: Result<Answer, String>, status: u16) -> Result<Answer, String> {
    let answer = answer?;
    if answer.status == status {
        return Ok(answer);
    }
    let why = value(&answer)["detail"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
    Err(format!("{what} is answered {}{why}", answer.status))
}

fn value(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_default()
}
