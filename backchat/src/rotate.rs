//! `backchat keys rotate`: a new root key takes over, while people talk.

use std::time::Duration;

use protocol::keys::{KeyAdmin, KeyAdminAnswer, KeyStatus};
use sealing::Root;
use service::process::say;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::operator::{self, Operator};
use crate::{Config, Error, roots};

/// How often the rotation is looked at, and how often it is said how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Makes a root key, unless an earlier rotation is to be finished first, has the running backchat wrap every key under it, and says
/// how far that has come. It goes on without whoever asked, and after a kill.
///
/// # Errors
/// When no backchat runs on the data, no root key can be made, or the keys can't be wrapped.
pub async fn rotate(config: &Config, shutdown: CancellationToken) -> Result<(), Error> {
    let roots = roots::read(&config.roots)?;
    let operator = Operator::connect(config).await?;
    let newest = roots.newest().version();
    let before = operator.status().await?;
    if before.rotation.is_none() && before.under.iter().all(|under| under.root == newest) {
        let next =
            newest.checked_add(1).ok_or_else(|| failed("there are as many root keys as there can be"))?;
        let root = Root::random(next).map_err(|error| failed(&error.to_string()))?;
        let path = sealing::store(&config.roots, &root).map_err(|fault| failed(&fault.to_string()))?;
        say(&format!("A root key was made: {}. Copy it to a safe place now.", path.display()));
    } else {
        say("An earlier rotation is finished first; no root key is made.");
    }
    match operator.ask(&KeyAdmin::Rotate).await? {
        KeyAdminAnswer::Started => {}
        other => return Err(operator::unexpected(&other)),
    }
    // Cancelled, it goes on by itself.
    let ended = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        ended = until_done(&operator) => ended?,
    };
    let newest = roots::read(&config.roots)?.newest().version();
    if ended.under.iter().any(|under| under.root != newest) {
        return Err(failed("not every key is wrapped anew; see the log of backchat, and ask again"));
    }
    say(&format!(
        "Every key is wrapped under root-{newest}, and nothing here needs an older root key. First make a new backup: older ones are \
         opened with the keys in it alone. Then destroy each older root key wherever it lies, and what was erased is erased in the \
         backups too."
    ));
    Ok(())
}

async fn until_done(operator: &Operator) -> Result<KeyStatus, Error> {
    let mut said = Instant::now();
    loop {
        sleep(LOOK_EVERY).await;
        let now = operator.status().await?;
        let Some(rotation) = now.rotation else { return Ok(now) };
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            say(&format!("{} of {}", rotation.done, rotation.of));
        }
    }
}

fn failed(why: &str) -> Error {
    Error::Roots(format!("the root key can't be rotated: {why}"))
}
