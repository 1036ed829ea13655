//! For whom a command answers: a person at a terminal, or a program that reads lines of JSON.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

static WANTS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on every command answers for programs, on a terminal too.
pub fn wants_json() {
    WANTS_JSON.store(true, Ordering::Relaxed);
}

/// Whether whoever reads the answer is a person.
pub fn is_a_person() -> bool {
    !WANTS_JSON.load(Ordering::Relaxed) && std::io::stdout().is_terminal()
}
