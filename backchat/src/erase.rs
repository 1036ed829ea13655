//! `backchat erase person | room`: what a person wrote, or a room, is erased in every copy.

use std::io::BufRead;
use std::time::Duration;

use protocol::RoomSlug;
use protocol::keys::{Holder, KeyAdmin, KeyAdminAnswer};
use service::process::say;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::operator::{self, Operator};
use crate::{Config, Error};

/// How often it is looked whether the rooms know.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long that is waited for; it goes on by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// Erases everything of who has this name, after that is confirmed on standard input.
///
/// # Errors
/// When no backchat runs on the data, nobody has the name, it was not confirmed, or it can't be carried out now.
pub async fn person(config: &Config, name: &str, shutdown: CancellationToken) -> Result<(), Error> {
    let operator = Operator::connect(config).await?;
    let (user, name) = match operator.ask(&KeyAdmin::Person { name: name.to_owned() }).await? {
        KeyAdminAnswer::Person { user, name } => (user, name),
        KeyAdminAnswer::NoSuchPerson => return Err(Error::Refused(format!("nobody has the name {name}"))),
        other => return Err(operator::unexpected(&other)),
    };
    say(&format!(
        "This erases everything that {name} ever wrote, in every room, and the account of {name} ({user})."
    ));
    if confirmed(&name, &shutdown).await? {
        erase(&operator, Holder::User(user), &shutdown).await?;
    }
    Ok(())
}

/// Erases a room, after that is confirmed on standard input.
///
/// # Errors
/// Like [`person`].
pub async fn room(config: &Config, address: &str, shutdown: CancellationToken) -> Result<(), Error> {
    let room = RoomSlug::parse(address);
    let room = room.map_err(|_| Error::Refused(format!("no room can have the address {address}")))?;
    let operator = Operator::connect(config).await?;
    say(&format!("This erases the room {room} with everything that anybody wrote in it."));
    if confirmed(room.as_str(), &shutdown).await? {
        erase(&operator, Holder::Room(room), &shutdown).await?;
    }
    Ok(())
}

/// False when the program was told to stop.
async fn confirmed(name: &str, shutdown: &CancellationToken) -> Result<bool, Error> {
    say(&format!("There is no way back. Type {name} to go on:"));
    let typed = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    // Nobody waits for the thread when the program was told to stop.
    let typed = tokio::select! {
        () = shutdown.cancelled() => return Ok(false),
        typed = typed => typed,
    };
    match typed {
        Ok(Ok(typed)) if typed.trim() == name => Ok(true),
        _ => Err(Error::Refused("that was not typed: nothing was erased".into())),
    }
}

async fn erase(operator: &Operator, holder: Holder, shutdown: &CancellationToken) -> Result<(), Error> {
    match operator.ask(&KeyAdmin::Erase { holder }).await? {
        KeyAdminAnswer::Erased { .. } => {}
        other => return Err(operator::unexpected(&other)),
    }
    say("The keys are destroyed: nobody can read it any more.");
    // Cancelled, it goes on by itself.
    let told = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        told = until_told(operator) => told?,
    };
    say(if told {
        "Every room knows, and open pages show it no more."
    } else {
        "Not every room could be told yet: backchat goes on with it."
    });
    say(
        "Backups from before open it until the root key is replaced: see backchat keys rotate, and backchat keys check.",
    );
    Ok(())
}

async fn until_told(operator: &Operator) -> Result<bool, Error> {
    let deadline = Instant::now() + PATIENCE;
    while operator.erasing().await? > 0 {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(true)
}
