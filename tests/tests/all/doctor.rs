//! `backchat doctor`: says nothing bad of what is well, and finds each of the faults that were planted, with its remedy.

mod broker;
mod edge;
mod machine;

use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tests::process::{Launch, built};

/// Longest wait for the end of a doctor.
const END: Duration = Duration::from_secs(90);

/// What a doctor said.
pub struct Said {
    pub code: i32,
    findings: Vec<Value>,
    output: String,
}

impl Said {
    /// What this program says when it is called as a doctor.
    pub async fn by(launch: &Launch) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut launch = launch.clone().argument("doctor");
        launch.log = folder.path().join("doctor.log");
        let ended = launch.to_the_end(END).await;
        let lines = ended.output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let findings = lines.filter(|line| line["about"].is_string()).collect();
        Self { code: ended.code, findings, output: ended.output }
    }

    /// What one says of pieces at these addresses.
    pub async fn of_pieces(arguments: &[(&str, &str)]) -> Self {
        let launch = Launch::new(&built("backchat"), Path::new("/"));
        let launch =
            arguments.iter().fold(launch, |launch, (name, value)| launch.argument(*name).argument(*value));
        Self::by(&launch).await
    }

    pub fn all_is_well(&self) -> &Self {
        assert!(self.code == 0 && self.of("fault").is_empty(), "{}", self.output);
        self
    }

    /// It found this, and says to do that.
    pub fn says(&self, kind: &str, found: &str, remedy: &str) -> &Self {
        let has = |finding: &&Value, key: &str, part: &str| {
            finding[key].as_str().is_some_and(|text| text.contains(part))
        };
        let said = self.findings.iter().filter(|finding| finding["kind"] == kind);
        let said = said.filter(|finding| has(finding, "found", found) && has(finding, "remedy", remedy));
        assert!(said.count() > 0, "no {kind} {found:?} with {remedy:?} in {}", self.output);
        assert!(kind != "fault" || self.code == 1, "{}", self.output);
        self
    }

    /// It looked at this, and all is well there.
    pub fn praises(&self, found: &str) -> &Self {
        let said = self.of("good").into_iter().any(|praise| praise.contains(found));
        assert!(said, "{found:?} is not good in {}", self.output);
        self
    }

    /// Besides what was planted.
    pub fn says_nothing_else(&self, faults: usize) -> &Self {
        assert_eq!(self.of("fault").len(), faults, "{}", self.output);
        self
    }

    pub fn keeps_secret(&self, secret: &str) -> &Self {
        assert!(!self.output.contains(secret), "{secret} is shown in {}", self.output);
        self
    }

    /// The remedy of the fault that names this.
    pub fn remedy(&self, found: &str) -> &str {
        let has = |finding: &&Value| finding["found"].as_str().is_some_and(|text| text.contains(found));
        let fault =
            self.findings.iter().find(has).unwrap_or_else(|| panic!("no {found:?} in {}", self.output));
        fault["remedy"].as_str().unwrap()
    }

    fn of(&self, kind: &str) -> Vec<&str> {
        let of_kind = self.findings.iter().filter(|finding| finding["kind"] == kind);
        of_kind.filter_map(|finding| finding["found"].as_str()).collect()
    }
}
