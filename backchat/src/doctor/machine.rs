//! What the single-node edition needs of its machine: the data folder, room on its disk, the root keys, a NATS server program, a
//! port.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;
use sealing::Roots;
use service::process;

use super::finding::Finding;
use super::streams::mib;
use crate::{Config, nats, roots};

pub const ABOUT: &str = "machine";

/// Bytes left on the disk of the data below which a person should look, and below which the broker stores nothing.
const LEFT_WARNING: u64 = 5 << 30;
const LEFT_FAULT: u64 = nats::LEFT_BYTES;

/// What can be looked at whether the chat runs or not.
pub fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = folder(&config.data);
    findings.extend(disk(&config.data));
    findings.push(match root_keys(config) {
        Ok(found) | Err(found) => found,
    });
    findings
}

/// What must be free for a chat to be started.
pub async fn examine_before_start(config: &Config) -> Vec<Finding> {
    let program = match nats::find(config.nats_server.as_deref()).await {
        Ok(program) => Finding::good(ABOUT, format!("the NATS server is {}", program.display())),
        Err(error) => Finding::fault(
            ABOUT,
            error.to_string(),
            "scripts/nats-server fetches one, and --nats-server names another",
        ),
    };
    let port = match process::listen(config.listen).await {
        Ok(_) => Finding::good(ABOUT, format!("address {} is free", config.listen)),
        Err(why) => Finding::fault(
            ABOUT,
            why,
            "end what listens there (ss -tlnp names it), or choose another with --listen",
        ),
    };
    vec![program, port]
}

fn folder(data: &Path) -> Vec<Finding> {
    let shown = data.display();
    let found = match fs::metadata(data) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return vec![Finding::good(
                ABOUT,
                format!("the data folder {shown} is not there yet, and made at the first start"),
            )];
        }
        Err(error) => {
            let remedy = format!("run backchat as the user whose it is (ls -ld {shown})");
            return vec![Finding::fault(
                ABOUT,
                format!("the data folder {shown} can't be read: {error}"),
                remedy,
            )];
        }
    };
    let mode = found.permissions().mode() & 0o777;
    if found.uid() != geteuid().as_raw() {
        let found = format!("the data folder {shown} is another user's, number {}", found.uid());
        return vec![Finding::fault(
            ABOUT,
            found,
            format!("run backchat as that user, or: chown -R \"$(id -un)\" {shown}"),
        )];
    }
    if mode & 0o077 != 0 {
        let found = format!("the data folder {shown} is open to other users (mode {mode:03o})");
        return vec![Finding::fault(ABOUT, found, format!("chmod 700 {shown}"))];
    }
    vec![Finding::good(ABOUT, format!("the data folder {shown} is its user's alone"))]
}

/// The folder itself may not be there yet.
fn disk(data: &Path) -> Option<Finding> {
    let absolute = std::path::absolute(data).ok()?;
    let found = absolute.ancestors().find_map(|folder| statvfs(folder).ok())?;
    let left = found.blocks_available().saturating_mul(found.fragment_size());
    Some(left_on_disk(data, left))
}

fn left_on_disk(data: &Path, left: u64) -> Finding {
    let found = format!("{} are left on the disk of {}", mib(left), data.display());
    let remedy = "make room there, or move the data folder to a larger disk and name it with --data";
    if left < LEFT_FAULT {
        Finding::fault(ABOUT, found, remedy)
    } else if left < LEFT_WARNING {
        Finding::warning(ABOUT, found, remedy)
    } else {
        Finding::good(ABOUT, found)
    }
}

fn root_keys(config: &Config) -> Result<Finding, Finding> {
    let (folder, data) = (&config.roots, &config.data);
    let remedy =
        "bring the root keys back from their copy (backchat keys import), or name their folder with --roots";
    roots::refuse_inside(folder, data).map_err(|error| {
        Finding::fault(
            ABOUT,
            error.to_string(),
            format!("mv {} elsewhere, and name it with --roots", folder.display()),
        )
    })?;
    if !folder.exists() && !data.join("version").exists() {
        return Ok(Finding::good(ABOUT, "there is no root key yet: the first start makes one"));
    }
    let roots: Roots =
        roots::read(folder).map_err(|error| Finding::fault(ABOUT, error.to_string(), remedy))?;
    let found = format!("the root keys {:?} in {} can be read", roots.versions(), folder.display());
    Ok(Finding::good(ABOUT, found))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Kind;
    use super::*;

    #[test]
    fn a_data_folder_is_its_users_alone() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        assert_eq!(folder(&data)[0].kind, Kind::Good);
        fs::create_dir(&data).unwrap();
        for (mode, kind) in [(0o700, Kind::Good), (0o750, Kind::Fault), (0o701, Kind::Fault)] {
            fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(folder(&data)[0].kind, kind, "{mode:o}");
        }
        assert_eq!(folder(&data)[0].remedy.as_deref(), Some(&*format!("chmod 700 {}", data.display())));
    }

    #[test]
    fn a_disk_with_little_left_is_said_early() {
        let kind = |left| left_on_disk(Path::new("data"), left).kind;
        assert_eq!((kind(LEFT_FAULT - 1), kind(LEFT_FAULT)), (Kind::Fault, Kind::Warning));
        assert_eq!((kind(LEFT_WARNING - 1), kind(LEFT_WARNING)), (Kind::Warning, Kind::Good));
        assert!(disk(Path::new("/nowhere/yet")).is_some(), "the disk of a folder that is still to be made");
    }
}
