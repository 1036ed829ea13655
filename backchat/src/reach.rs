//! `backchat probe URL`: asks addresses whether they answer, from where nothing else can ask, as in an image without a shell.

use std::time::Duration;

use service::probe;
use service::process::say;

use crate::Error;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks each of these (with spaces between), and says what it answered.
///
/// # Errors
/// [`Error::Refused`] that names the first which does not answer 2xx or 3xx.
pub async fn all(urls: &str) -> Result<(), Error> {
    for url in urls.split(' ') {
        let status = status_of(url).await.map_err(|why| Error::Refused(format!("{url}: {why}")))?;
        if !(200..400).contains(&status) {
            return Err(Error::Refused(format!("{url} answers {status}")));
        }
        say(&format!("{url} answers {status}"));
    }
    Ok(())
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
