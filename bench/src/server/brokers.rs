//! The broker: one NATS server, or several that keep each stream on all of them.

use super::program::{Program, free_port, nats_server, says_yes};
use super::{START, connects, local};
use std::path::Path;

/// What the broker's servers are called in figures.
pub const BROKERS: [&str; 3] = ["broker", "broker2", "broker3"];

/// Whether the broker waits for the disk before it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// For each message: what backchat uses on a single node.
    Always,
    /// Every two minutes, the broker's own default.
    Default,
}

/// How the log is kept: on so many servers, and when on the disk of each.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    pub copies: usize,
    pub sync: Sync,
}

/// Starts as many servers as there are copies, and gives their addresses. It returns when they are one broker.
pub fn start_broker(folder: &Path, kept: Kept) -> Result<(String, Vec<Program>), String> {
    let ports: Vec<u16> = (0..kept.copies).map(|_| free_port()).collect::<Result<_, _>>()?;
    let urls: Vec<_> = ports.iter().map(|port| format!("nats://{}", local(*port))).collect();
    let servers = if let [port] = ports[..] {
        vec![start_one(folder, port, kept.sync)?]
    } else {
        start_cluster(folder, &ports, kept.sync)?
    };
    Ok((urls.join(","), servers))
}

/// Starts one that is alone.
pub fn start_one(folder: &Path, port: u16, sync: Sync) -> Result<Program, String> {
    let mut program = start(folder, port, (sync, ""))?;
    program.until(START, || connects(local(port)))?;
    Ok(program)
}

fn start_cluster(folder: &Path, ports: &[u16], sync: Sync) -> Result<Vec<Program>, String> {
    let ways: Vec<u16> = ports.iter().map(|_| free_port()).collect::<Result<_, _>>()?;
    let routes: Vec<_> = ways.iter().map(|way| format!("\"nats://{}\"", local(*way))).collect();
    let routes = routes.join(", ");
    let mut servers = Vec::new();
    for ((port, way), name) in ports.iter().zip(&ways).zip(BROKERS) {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let monitor = local(free_port()?);
        let cluster = format!(
            "server_name: \"{name}\"\nhttp: \"{monitor}\"\ncluster {{ name: bench, listen: \"{}\", routes: [{routes}] }}\n",
            local(*way)
        );
        servers.push((start(&folder, *port, (sync, &cluster))?, monitor));
    }
    let mut healthy = Vec::new();
    for (mut server, monitor) in servers {
        server.until(START, || says_yes(monitor, "/healthz"))?;
        healthy.push(server);
    }
    Ok(healthy)
}

fn start(folder: &Path, port: u16, (sync, more): (Sync, &str)) -> Result<Program, String> {
    let sync = match sync {
        Sync::Always => ", sync_interval: always",
        Sync::Default => "",
    };
    let conf = format!(
        "listen: \"{}\"\nmax_payload: 1MB\njetstream {{ store_dir: {:?}{sync} }}\n{more}",
        local(port),
        folder.join("store")
    );
    let path = folder.join("nats.conf");
    std::fs::write(&path, conf).map_err(|error| format!("{}: {error}", path.display()))?;
    Program::of(&nats_server()?).argument("-c").argument(&path.to_string_lossy()).start(folder)
}
