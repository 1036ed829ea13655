//! What a process takes of the machine, and what it says of itself.

use crate::http::Ask;
use std::fs;
use std::time::Duration;

/// A running process and where its metrics are.
#[derive(Debug, Clone)]
pub struct Usage {
    process: u32,
    operations: String,
}

impl Usage {
    pub fn of(process: u32, operations: &str) -> Self {
        Self { process, operations: operations.to_owned() }
    }

    /// Open files and sockets.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn handles(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process)).expect("the process runs").count()
    }

    /// Memory that is in use.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process)).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>();
        kib.unwrap_or_else(|error| panic!("{error}: {line:?}")) * 1024
    }

    /// Processor time since its start.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn processor(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process)).expect("the process runs");
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: Vec<u64> = after_name.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
        // Linux counts a hundred a second, whatever the kernel's own clock.
        Duration::from_millis(ticks.iter().sum::<u64>() * 10)
    }

    /// The value of a metric, with its labels where it has some; 0 when it was never counted.
    ///
    /// # Panics
    /// When the process does not answer.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = Ask::get("/metrics").send(&self.operations).await.body;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap_or_else(|error| panic!("{error}: {name} {value}")))
    }
}
