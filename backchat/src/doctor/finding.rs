//! What a check has found, and how it is said.

use std::time::Duration;

use serde::Serialize;
use service::process::say;
use tokio::time::timeout;

use crate::reader;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Good,
    /// People chat on, and somebody should look.
    Warning,
    /// Something does not work, or soon will not.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: Kind,
    /// What it is about, in one word.
    pub about: &'static str,
    pub found: String,
    /// What to do: the command or the setting to type. Of what is good there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    pub fn good(about: &'static str, found: impl Into<String>) -> Self {
        Self { kind: Kind::Good, about, found: found.into(), remedy: None }
    }

    pub fn warning(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind: Kind::Warning, about, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub fn fault(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind: Kind::Fault, about, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// How a person reads it.
    pub fn row(&self) -> String {
        let mark = match self.kind {
            Kind::Good => "good",
            Kind::Warning => "WARNING",
            Kind::Fault => "FAULT",
        };
        let row = format!("{mark:<8} {:<12} {}", self.about, self.found);
        match &self.remedy {
            None => row,
            Some(remedy) => format!("{row}\n{:<22}→ {remedy}", ""),
        }
    }
}

/// Says everything: a table for a person, a line of JSON for each to a program. Gives how many faults there are.
pub fn tell(findings: &[Finding]) -> u64 {
    let is_for_a_person = reader::is_a_person();
    for finding in findings {
        say(&if is_for_a_person { finding.row() } else { serde_json::json!(finding).to_string() });
    }
    let count = |kind| findings.iter().filter(|finding| finding.kind == kind).count();
    let (faults, warnings) = (count(Kind::Fault), count(Kind::Warning));
    if is_for_a_person {
        say(&format!("\n{}, {}.", counted(faults, "fault"), counted(warnings, "warning")));
    }
    faults as u64
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}"),
        1 => format!("one {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Waits for checks no longer than `limit`. What they have found until then is kept.
pub async fn within(
    limit: Duration,
    about: &'static str,
    checks: impl AsyncFnOnce(&mut Vec<Finding>),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if timeout(limit, checks(&mut findings)).await.is_err() {
        findings.push(Finding::fault(
            about,
            format!("the checks did not end within {} s", limit.as_secs()),
            "ask again; where it stays so, something answers half and then says nothing",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_what_is_wrong_and_below_what_to_do() {
        assert_eq!(Finding::good("broker", "all is well").row(), "good     broker       all is well");
        let row = Finding::fault("broker", "it is away", "start it").row();
        assert_eq!(row, "FAULT    broker       it is away\n                      → start it");
    }

    #[test]
    fn a_program_reads_an_object() {
        let line = serde_json::json!(Finding::warning("edge", "slow", "wait"));
        assert_eq!(line.to_string(), r#"{"kind":"warning","about":"edge","found":"slow","remedy":"wait"}"#);
        assert!(serde_json::json!(Finding::good("edge", "fast")).get("remedy").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_a_fault_beside_what_was_found_before() {
        let checks = async |findings: &mut Vec<Finding>| {
            findings.push(Finding::warning("broker", "it is slow", "wait"));
            std::future::pending().await
        };
        let found = within(Duration::from_secs(3), "broker", checks).await;
        assert_eq!((found[0].kind, found[1].kind, found.len()), (Kind::Warning, Kind::Fault, 2));
        assert!(found[1].found.contains("3 s"), "{found:?}");
    }
}
