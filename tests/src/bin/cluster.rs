//! `cluster up`: the whole of backchat as in production, on this machine, until Ctrl-C; `cluster up empty`: without streams and
//! services, which `cluster order start` starts once something was restored. `cluster order roll`, `cluster order scale gateways=4` and
//! others have the running one do something; `cluster verify` audits one of its own while everything in it is replaced and hurt, and
//! `cluster drill` does the procedures of docs/operations to one of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tests::drill;
use tests::files;
use tests::topology::{Size, Topology, control, verify};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: cluster up|up empty|verify [--gateways 2] [--workers 2] [--auth 2] [--shards 8] [--listen 127.0.0.1:8443] \\
       [--folder ./cluster] [--list ./cluster.json] [--patience 120]
       cluster order roll [--list ./cluster.json]
       cluster order scale [gateways=4] [workers=3] [auth=2] [--list ./cluster.json]
       cluster order start [nats-1 …]   what does not run, or those
       cluster order stop|kill|lose nats-1 …   in order, by kill -9, or so and with what is stored; until they are started
       cluster drill [lose-the-database …] [--listen 127.0.0.1:8443] [--folder ./cluster]";

struct Settings {
    size: Size,
    listen: String,
    folder: PathBuf,
    list: PathBuf,
    /// Longest wait, when an order is carried out, until what was started is ready.
    patience: Duration,
    /// What stands beside the flags.
    words: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(settings) = read(std::env::args().skip(1)) else {
        say(USAGE);
        return ExitCode::from(2);
    };
    let words: Vec<_> = settings.words.iter().map(String::as_str).collect();
    let ended = match words.as_slice() {
        ["up"] => up(&settings, Topology::start).await,
        ["up", "empty"] => up(&settings, Topology::empty).await,
        ["drill", names @ ..] => practise(&settings, names).await,
        ["verify"] => audit(&settings).await,
        ["order", order @ ..] if !order.is_empty() => give(&settings, &order.join(" ")).await,
        _ => {
            say(USAGE);
            return ExitCode::from(2);
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&why);
            ExitCode::FAILURE
        }
    }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Option<Settings> {
    let mut settings = Settings {
        size: Size { gateways: 2, workers: 2, auths: 2, shards: 8 },
        listen: "127.0.0.1:8443".to_owned(),
        folder: PathBuf::from("cluster"),
        list: PathBuf::from("cluster.json"),
        patience: Duration::from_secs(120),
        words: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let Some(flag) = argument.strip_prefix("--") else {
            settings.words.push(argument);
            continue;
        };
        let value = arguments.next()?;
        let count = || value.parse().ok().filter(|count| (1..=control::COUNT_MAX).contains(count));
        match flag {
            "gateways" => settings.size.gateways = count()?,
            "workers" => settings.size.workers = count()?,
            "auth" => settings.size.auths = count()?,
            "shards" => {
                settings.size.shards = value.parse().ok().filter(|shards| (1..=256).contains(shards))?
            }
            "listen" => settings.listen = value.parse::<std::net::SocketAddr>().ok()?.to_string(),
            "folder" => settings.folder = value.into(),
            "list" => settings.list = value.into(),
            "patience" => settings.patience = Duration::from_secs(value.parse().ok()?),
            _ => return None,
        }
    }
    Some(settings)
}

/// Runs until somebody asks it to stop.
async fn up(
    settings: &Settings,
    start: impl AsyncFnOnce(Size, &str, &Path, &Path) -> Topology,
) -> Result<(), String> {
    let (folder, control) = claimed(settings).await?;
    let fault = |error: std::io::Error| error.to_string();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    let stop = async {
        // Inputs: two signals that mean the same; either may be cancelled.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let running = async {
        let mut topology = start(settings.size, &settings.listen, &folder, &settings.list).await;
        topology.patience = settings.patience;
        say(&format!(
            "The chat is at {}. Its certificate is signed by {}. Every process is in {}, with its log in {}. Ctrl-C stops all.",
            topology.address(),
            topology.authority().display(),
            settings.list.display(),
            folder.display(),
        ));
        control::obey(control, &mut topology, say).await;
    };
    // Whatever is under way ends with the processes, which are dropped here.
    tokio::select! {
        () = stop => {}
        () = running => {}
    }
    let _ = std::fs::remove_file(&settings.list);
    say("Everything has stopped.");
    Ok(())
}

async fn audit(settings: &Settings) -> Result<(), String> {
    let (folder, _control) = claimed(settings).await?;
    let outcome =
        verify::run(settings.size, &settings.listen, &folder, &settings.list, |line| say(&line)).await;
    say(&outcome.to_string());
    if outcome.is_clean() { Ok(()) } else { Err("The cluster is not clean.".to_owned()) }
}

/// Does what the pages of docs/operations say.
async fn practise(settings: &Settings, names: &[&str]) -> Result<(), String> {
    if let Some(name) = names.iter().find(|name| !drill::NAMES.contains(name)) {
        return Err(format!("there is no drill {name}; there are: {}", drill::NAMES.join(", ")));
    }
    let (folder, _control) = claimed(settings).await?;
    let took = drill::run(names, &settings.listen, &folder, |line| say(&line)).await;
    let count = if names.is_empty() { drill::NAMES.len() } else { names.len() };
    say(&format!("clean: {count} drills, {} s", took.as_secs()));
    Ok(())
}

async fn give(settings: &Settings, order: &str) -> Result<(), String> {
    control::ask(&control_of(&settings.list)?, order, say).await
}

/// Where the cluster whose processes are listed in a file takes orders.
fn control_of(list: &Path) -> Result<PathBuf, String> {
    let text = std::fs::read_to_string(list);
    let text = text.map_err(|error| format!("{}: {error}; `make cluster` writes it", list.display()))?;
    let list: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let socket = list["control"].as_str().ok_or("the list of processes names no way to give orders")?;
    Ok(socket.into())
}

/// The folder, with nothing in it but the socket for orders. Whoever comes after finds that socket, and leaves the folder alone.
///
/// # Errors
/// A sentence, when a cluster runs there, or something else is where it would be.
async fn claimed(settings: &Settings) -> Result<(PathBuf, UnixListener), String> {
    let listed = control_of(&settings.list).ok();
    for socket in [control::socket_in(&settings.folder)].into_iter().chain(listed) {
        if control::is_answered(&socket).await {
            return Err(format!(
                "a cluster runs already, and takes orders at {}: stop that one, or name another --folder, --list and --listen",
                socket.display()
            ));
        }
    }
    let listen = &settings.listen;
    // The load balancer takes the port later, which is free again at once.
    drop(TcpListener::bind(listen).await.map_err(|error| {
        format!("{listen} can't be listened on: {error}; --listen names another address")
    })?);
    let folder = emptied(&settings.folder)?;
    let control = control::listen(&folder).map_err(|error| format!("no orders can be taken: {error}"))?;
    Ok((folder, control))
}

/// The folder, with nothing in it, and closed to others: passwords are in it.
fn emptied(folder: &Path) -> Result<PathBuf, String> {
    let fault = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        let ours = control::socket_in(folder).exists()
            || folder.join("tls").is_dir()
            || folder.join("cluster").join("tls").is_dir()
            || folder.read_dir().map_err(fault)?.next().is_none();
        if !ours {
            return Err(format!(
                "{} holds something else than a cluster: name another folder",
                folder.display()
            ));
        }
        std::fs::remove_dir_all(folder).map_err(fault)?;
    }
    files::closed_folder(folder).map_err(fault)?;
    folder.canonicalize().map_err(fault)
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
