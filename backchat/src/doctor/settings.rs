//! The settings that the doctor was started with, which are those of a chat that is started likewise.

use super::finding::Finding;
use crate::Config;

const ABOUT: &str = "settings";

pub fn examine(config: &Config) -> Vec<Finding> {
    if config.faults.is_empty() {
        return vec![Finding::good(ABOUT, "every setting is known and valid")];
    }
    let remedy =
        "mend it, no program starts with it; `backchat config example` has every setting with its meaning";
    config.faults.iter().map(|fault| Finding::fault(ABOUT, fault, remedy)).collect()
}
