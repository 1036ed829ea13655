//! What processes and the machine use, from /proc.

use std::{collections::BTreeMap, fs, process, time::Instant};

/// Ticks of /proc in a second: Linux shows 100 to programs whatever its own clock does.
const TICKS_PER_S: f64 = 100.0;

/// Processes to be measured, by the name they have in figures.
pub type Processes = BTreeMap<&'static str, u32>;

/// Readings of one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    at: Instant,
    processes: BTreeMap<&'static str, f64>,
    own: f64,
    machine: f64,
}

/// What was used between two readings: CPU seconds, user and system.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    pub wall_s: f64,
    pub processes: BTreeMap<&'static str, f64>,
    /// By the load generator.
    pub own: f64,
    /// By everything else on the machine. Sampled by the tick, so good to about 0.3 s and sometimes below zero.
    pub others: f64,
}

impl Reading {
    pub fn take(processes: &Processes) -> Self {
        Self {
            at: Instant::now(),
            processes: processes.iter().map(|(name, id)| (*name, cpu_s(*id))).collect(),
            own: cpu_s(process::id()),
            machine: machine_busy_s(),
        }
    }

    /// What was used since `before`.
    pub fn since(&self, before: &Self) -> Usage {
        let used = |name: &&'static str, now: &f64| now - before.processes.get(*name).unwrap_or(now);
        let processes: BTreeMap<_, _> =
            self.processes.iter().map(|(name, now)| (*name, used(name, now))).collect();
        let own = self.own - before.own;
        let others = self.machine - before.machine - own - processes.values().sum::<f64>();
        Usage { wall_s: (self.at - before.at).as_secs_f64(), processes, own, others }
    }
}

impl Usage {
    pub fn of(&self, process: &str) -> f64 {
        self.processes.get(process).copied().unwrap_or_default()
    }

    /// What all gateways used together.
    pub fn of_servers(&self) -> f64 {
        self.of_all("server")
    }

    /// What all of the broker's servers used together.
    pub fn of_brokers(&self) -> f64 {
        self.of_all("broker")
    }

    fn of_all(&self, kind: &str) -> f64 {
        self.processes.iter().filter(|(name, _)| name.starts_with(kind)).map(|(_, used)| used).sum()
    }

    /// The share of its thread that the load generator used: near 1, it is the limit of what was measured.
    pub fn own_share(&self) -> f64 {
        self.own / self.wall_s
    }

    /// Cores that everything else on the machine used.
    pub fn others_cores(&self) -> f64 {
        self.others / self.wall_s
    }
}

/// User and system time of a process, in seconds: by the tick, of threads that have ended too, or by the scheduler's clock, of those
/// that run. Neither says too much, so the greater is the better.
fn cpu_s(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in parentheses may hold spaces.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    scheduled_s(process).max(ticks / TICKS_PER_S)
}

/// The time for which threads of a process that still run were on a core; 0 where the kernel does not say.
fn scheduled_s(process: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    texts.filter_map(|text| text.split_whitespace().next()?.parse::<f64>().ok()).sum::<f64>() / 1e9
}

fn machine_busy_s() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first.split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect();
    // user, nice, system, irq, softirq.
    [0, 1, 2, 5, 6].iter().filter_map(|place| ticks.get(*place)).sum::<f64>() / TICKS_PER_S
}

/// Resident memory of a process, in KiB, counted exactly rather than by the kernel's running estimate.
pub fn rss_kib(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// How many files this process may have open, and so every one that it starts.
pub fn open_files_max() -> usize {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(1_024)
}

/// Puts a process, with all of its session, before everything else on the machine, where the scheduler groups by session and
/// we may. Nice values alone count only inside a session.
pub fn favour(process: &str) -> bool {
    fs::write(format!("/proc/{process}/autogroup"), "-15").is_ok()
}
