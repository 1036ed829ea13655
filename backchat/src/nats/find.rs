//! Which nats-server program to use.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::Error;

/// Older servers can't store an event and the state beside it in one batch.
const NEEDED: (u32, u32) = (2, 12);
const NEEDED_TEXT: &str = "2.12";

/// Where `make` puts the pinned server, under the home folder.
const INSTALLED: &str = ".cache/backchat/nats/bin/nats-server";

/// A program that says nothing for this long is no nats-server.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// The program to use: the one that was named, else the one on PATH, else the one that `make` installed. One that was named must
/// fit; of the others the first that does is taken.
///
/// # Errors
/// [`Error::NatsMissing`], or [`Error::NatsUnfit`] about the first one found.
pub async fn find(named: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(path) = named {
        return fit(path).await;
    }
    let mut unfit = None;
    for path in candidates().into_iter().filter(|path| path.is_file()) {
        match fit(&path).await {
            Ok(path) => return Ok(path),
            Err(error) => unfit = unfit.or(Some(error)),
        }
    }
    Err(unfit.unwrap_or(Error::NatsMissing))
}

fn candidates() -> Vec<PathBuf> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&on_path).map(|folder| folder.join("nats-server"));
    let installed = env::home_dir().map(|home| home.join(INSTALLED));
    on_path.chain(installed).collect()
}

async fn fit(path: &Path) -> Result<PathBuf, Error> {
    let found = version(path).await;
    if found.as_deref().and_then(major_and_minor).is_some_and(|found| found >= NEEDED) {
        return Ok(path.to_owned());
    }
    Err(Error::NatsUnfit { path: path.to_owned(), found, needed: NEEDED_TEXT })
}

async fn version(path: &Path) -> Option<String> {
    let output = Command::new(path).arg("--version").kill_on_drop(true).output();
    let output = timeout(VERSION_TIMEOUT, output).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.trim().strip_prefix("nats-server: v")?.to_owned())
}

fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("nats-server");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(major_and_minor("2.15.1"), Some((2, 15)));
        assert!(major_and_minor("2.9.25").unwrap() < NEEDED);
        assert!(major_and_minor("2.12.0-RC.1").unwrap() >= NEEDED);
        assert_eq!(major_and_minor("two"), None);
    }

    #[tokio::test]
    async fn an_old_server_is_named_with_both_versions() {
        let temp = tempfile::tempdir().unwrap();
        let path = program(temp.path(), "echo 'nats-server: v2.9.25'");
        let error = find(Some(&path)).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{} is version 2.9.25, but version 2.12 or newer is needed", path.display())
        );
    }

    #[tokio::test]
    async fn a_program_that_is_no_server_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = program(temp.path(), "echo hello");
        assert!(matches!(find(Some(&path)).await, Err(Error::NatsUnfit { found: None, .. })));
        assert!(matches!(
            find(Some(&temp.path().join("none"))).await,
            Err(Error::NatsUnfit { found: None, .. })
        ));
    }
}
