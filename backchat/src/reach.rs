//! `backchat probe URL`: asks addresses whether they answer, from where nothing else can ask, as in an image without a shell.

use std::time::Duration;

use service::probe;
use service::process::say;
use tokio::time::{Instant, sleep};

use crate::Error;

/// Longest wait for one answer, and the pause before the next question.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// Asks each of these (with spaces between), again until `wait` is over, and says what it answered.
///
/// # Errors
/// [`Error::Refused`] that names the first which does not answer 2xx or 3xx.
pub async fn all(urls: &str, wait: Duration) -> Result<(), Error> {
    for url in urls.split(' ') {
        let status = in_time(wait, || answers(url)).await.map_err(Error::Refused)?;
        say(&format!("{url} answers {status}"));
    }
    Ok(())
}

/// Asks, and asks again while it fails and `wait` is not over.
///
/// # Errors
/// Those of the last time.
pub async fn in_time<T, E>(wait: Duration, ask: impl AsyncFn() -> Result<T, E>) -> Result<T, E> {
    let deadline = Instant::now() + wait;
    loop {
        let answer = ask().await;
        if answer.is_ok() || Instant::now() + PAUSE > deadline {
            return answer;
        }
        sleep(PAUSE).await;
    }
}

async fn answers(url: &str) -> Result<u16, String> {
    match status_of(url).await {
        Ok(status) if (200..400).contains(&status) => Ok(status),
        Ok(status) => Err(format!("{url} answers {status}")),
        Err(why) => Err(format!("{url}: {why}")),
    }
}

async fn status_of(url: &str) -> Result<u16, String> {
    let place = url.strip_prefix("http://").ok_or("an address begins with http://")?;
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut found = tokio::net::lookup_host(&host).await.map_err(|error| error.to_string())?;
    let address = found.next().ok_or("no such host")?;
    let answer = probe::get(address, &format!("/{path}"), PATIENCE).await;
    answer.map(|answer| answer.status).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_asked_again_until_the_time_is_over() {
        let asked = Cell::new(0);
        let third = async || {
            asked.set(asked.get() + 1);
            if asked.get() < 3 { Err("not yet") } else { Ok("now") }
        };
        assert_eq!(in_time(Duration::ZERO, third).await, Err("not yet"));
        asked.set(0);
        assert_eq!(in_time(Duration::from_secs(5), third).await, Ok("now"));
        assert_eq!(asked.get(), 3);
    }
}
