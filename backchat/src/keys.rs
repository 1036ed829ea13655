//! `backchat keys check | export | import`: what an owner does with root keys.

mod report;

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

use broker::Broker;
use report::Report;
use sealing::{Root, Roots};
use service::process::say;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::data::Data;
use crate::ground::{Ground, fault};
use crate::{Config, Error, nats, roots, run_file};

/// How long the broker of a backchat that runs already is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that are read of standard input, at most: some hundred root keys.
const INPUT_BYTES_MAX: u64 = 32 * 1024;

/// Opens every key of the data, whether their backchat runs or not, and says which root keys are needed.
///
/// # Errors
/// [`Error::Roots`] when one does not open; others when data or broker can't be had.
pub async fn check(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let roots = roots::read(&config.roots)?;
    let report = match Data::take_set_up(&config.data).await {
        Ok(data) => check_at_rest(&config, data, &roots, &shutdown).await?,
        Err(Error::DataInUse { .. }) => {
            let credentials = run_file::read(&config.data)?;
            let broker = Broker::connect(&credentials, PATIENCE).await.map_err(fault)?;
            Some(Report::of(&broker, &roots).await?)
        }
        Err(error) => return Err(error),
    };
    match report {
        Some(report) => report.say(&config, &roots),
        None => Ok(()),
    }
}

/// `None` when it was told to stop.
async fn check_at_rest(
    config: &Config,
    data: Data,
    roots: &Roots,
    shutdown: &CancellationToken,
) -> Result<Option<Report>, Error> {
    let program = nats::find(config.nats_server.as_deref()).await?;
    let ground = Ground::start(program, data).await?;
    // Reading changes nothing, so it may be cancelled. The server is stopped in any case.
    let report = tokio::select! {
        () = shutdown.cancelled() => Ok(None),
        report = async { Report::of(&ground.connect().await?, roots).await } => report.map(Some),
    };
    ground.stop().await;
    report
}

/// Prints each root key as its number and 24 words.
///
/// # Errors
/// [`Error::Roots`] when there is none.
pub fn export(folder: &Path) -> Result<(), Error> {
    let roots = roots::read(folder)?;
    for version in roots.versions() {
        if let Some(root) = roots.version(version) {
            say(&Zeroizing::new(format!("{version} {}", *root.words())));
        }
    }
    Ok(())
}

/// Makes root keys of what [`export`] printed.
///
/// # Errors
/// [`Error::Roots`] when the words are none of it, or there is such a root key already: then none of them is written.
pub async fn import(config: &Config, shutdown: CancellationToken) -> Result<(), Error> {
    roots::refuse_inside(&config.roots, &config.data)?;
    if std::io::stdin().is_terminal() {
        say("Type each root key as it was exported, its number and its 24 words. End with Ctrl-D.");
    }
    // Nobody waits for the thread when it was told to stop.
    let text = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        text = tokio::task::spawn_blocking(standard_input) => text,
    };
    let text = text.map_err(|error| Error::Roots(error.to_string()))?;
    let text = text.map_err(|error| Error::Roots(format!("standard input can't be read: {error}")))?;
    let imported = roots_of(&text)?;
    let known = roots::read(&config.roots).map(|roots| roots.versions()).unwrap_or_default();
    if let Some(root) = imported.iter().find(|root| known.contains(&root.version())) {
        return Err(Error::Roots(format!(
            "{} has a root key {} already: nothing was changed",
            config.roots.display(),
            root.version()
        )));
    }
    for root in &imported {
        let path = sealing::store(&config.roots, root).map_err(|fault| Error::Roots(fault.to_string()))?;
        say(&format!("Written: {}", path.display()));
    }
    Ok(())
}

fn standard_input() -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// A number begins a root key, however its words are broken into lines.
fn roots_of(text: &str) -> Result<Vec<Root>, Error> {
    let fault = |why: String| Error::Roots(why);
    let is_number = |word: &&str| word.parse::<u16>().is_ok();
    let mut words = text.split_whitespace().peekable();
    let mut roots: Vec<Root> = Vec::new();
    while let Some(number) = words.next() {
        let version = number.parse().ok().filter(|version| *version > 0);
        let version: u16 =
            version.ok_or_else(|| fault("each root key begins with its number, 1 or more".into()))?;
        if roots.iter().any(|root| root.version() == version) {
            return Err(fault(format!("root key {version} is there twice")));
        }
        let mut phrase = Zeroizing::new(String::new());
        while let Some(word) = words.next_if(|word| !is_number(word)) {
            phrase.push_str(word);
            phrase.push(' ');
        }
        let root = Root::of_words(version, phrase.trim_end());
        roots.push(root.map_err(|why| fault(format!("root key {version}: {why}")))?);
    }
    if roots.is_empty() { Err(fault("there are no words".into())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_is_read_however_it_is_broken_into_lines() {
        let roots = [1, 12].map(|version| Root::random(version).unwrap());
        let exported = roots.each_ref().map(|root| format!("{} {}", root.version(), *root.words()));
        for text in [exported.join("\n"), exported.join(" ").replace(' ', "\n\t")] {
            let read = roots_of(&text).unwrap();
            assert_eq!(read.iter().map(Root::version).collect::<Vec<_>>(), [1, 12]);
            assert!(read.iter().zip(&roots).all(|(read, root)| *read.words() == *root.words()));
        }
    }

    #[test]
    fn words_that_are_no_root_key_are_refused_with_the_reason() {
        let root = Root::random(1).unwrap();
        let words = root.words();
        for (text, why) in [
            (String::new(), "there are no words"),
            (words.to_string(), "begins with its number"),
            (format!("0 {}", *words), "begins with its number"),
            (format!("1 {}", words.rsplit_once(' ').unwrap().0), "root key 1: these are 23 words, not 24"),
            (format!("1 {} 1 {}", *words, *words), "root key 1 is there twice"),
        ] {
            let said = roots_of(&text).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}
