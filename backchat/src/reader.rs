//! For whom a command answers: a person at a terminal, or a program that reads lines of JSON.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Letters of a bar.
const BAR: u64 = 30;

static WANTS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on every command answers for programs, on a terminal too.
pub fn wants_json() {
    WANTS_JSON.store(true, Ordering::Relaxed);
}

/// Whether whoever reads the answer is a person.
pub fn is_a_person() -> bool {
    !WANTS_JSON.load(Ordering::Relaxed) && std::io::stdout().is_terminal()
}

/// How much of something is done, as a person sees it.
pub fn bar(done: u64, of: u64) -> String {
    let percent = (done * 100 / of.max(1)).min(100);
    let full = usize::try_from(percent * BAR / 100).unwrap_or(0);
    let empty = usize::try_from(BAR).unwrap_or(0) - full;
    format!("[{}{}] {percent:>3} %", "#".repeat(full), "-".repeat(empty))
}

/// Puts a line in the place of the one that is there.
pub fn draw(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
}
