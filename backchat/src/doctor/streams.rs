//! The broker's streams: all there, as the set-up step makes them, on enough servers, with room left.

use broker::{Account, Broker, Error, Replica, StreamReport};
use broker::{Difference, is_made_anew, stream_names};

use super::broker::ABOUT;
use super::finding::Finding;

/// Parts of a limit, in percent, from which on a person should look, and from which on it is nearly too late.
const WARNING_PERCENT: u64 = 70;
const FAULT_PERCENT: u64 = 85;
/// A replica that lacks more entries than are under way at any moment can't take over.
const LAG_MAX: u64 = 10_000;

pub async fn examine(broker: &Broker, shards: u16, findings: &mut Vec<Finding>) {
    let (before, mut seen) = (findings.len(), Vec::new());
    for name in stream_names(shards) {
        match broker.report(&name, shards).await {
            Ok(report) => seen.push((name, report)),
            Err(Error::NobodyThere(_)) => findings.push(missing(&name, shards)),
            Err(error) => findings.push(Finding::fault(
                ABOUT,
                format!("the stream {name} can't be seen: {error}"),
                format!("see whether it has a leader: nats stream info {name}"),
            )),
        }
    }
    let different: Vec<_> = seen.iter().flat_map(|(name, report)| differences(name, report)).collect();
    if findings.len() == before && different.is_empty() {
        findings.push(Finding::good(
            ABOUT,
            format!("all {} streams are there, as the set-up step makes them", seen.len()),
        ));
    }
    findings.extend(different);
    findings.extend(replicas(&seen, shards));
    findings.extend(room(&seen, broker.account().await));
}

fn missing(name: &str, shards: u16) -> Finding {
    let remedy = if is_made_anew(name) {
        format!("backchat-setup --shards {shards}")
    } else {
        "restore the broker's data from a backup (docs/operations/back-up-and-restore.md), or see whether address and account are the right ones".to_owned()
    };
    Finding::fault(ABOUT, format!("the stream {name} is missing"), remedy)
}

fn differences(name: &str, report: &StreamReport) -> Vec<Finding> {
    let said = |Difference { field, wanted, found }: &Difference| {
        Finding::fault(
            ABOUT,
            format!("the stream {name} has {field} {found}, and should have {wanted}"),
            format!("nats request '$JS.API.STREAM.UPDATE.{name}' '{}'", report.as_it_should_be),
        )
    };
    report.differences.iter().map(said).collect()
}

fn replicas(seen: &[(String, StreamReport)], shards: u16) -> Vec<Finding> {
    let most = seen.iter().map(|(_, report)| report.replicas).max().unwrap_or(1);
    if most == 1 && seen.iter().any(|(_, report)| report.leader.is_some()) {
        return vec![single(shards)];
    }
    let mut findings: Vec<_> = seen.iter().flat_map(|(name, report)| of_stream(name, report, most)).collect();
    if findings.is_empty() && most > 1 {
        findings.push(Finding::good(
            ABOUT,
            format!("each stream is on {most} servers, has a leader, and lags nowhere"),
        ));
    }
    findings
}

/// A server names itself as a stream's leader where there are others.
fn single(shards: u16) -> Finding {
    let found = "the broker has several servers, and each stream is on one of them: with that one everything in it is lost";
    let remedy = format!("backchat-setup --shards {shards} --replicas 3");
    Finding::warning(ABOUT, found, remedy)
}

fn of_stream(name: &str, report: &StreamReport, most: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    if report.replicas < most {
        findings.push(Finding::fault(
            ABOUT,
            format!("the stream {name} is kept on {} servers, others on {most}", report.replicas),
            format!("nats stream edit {name} --replicas={most}"),
        ));
    }
    if report.replicas > 1 && report.leader.is_none() {
        findings.push(Finding::fault(
            ABOUT,
            format!("the stream {name} has no leader, so nothing is stored in it"),
            "start the NATS servers that are away: more than half of them must run",
        ));
    }
    findings.extend(report.followers.iter().filter_map(|replica| of_replica(name, replica)));
    findings
}

fn of_replica(name: &str, replica: &Replica) -> Option<Finding> {
    let Replica { server, is_current, is_offline, lag } = replica;
    if *is_offline {
        let found = format!("{server} is away, which has a copy of the stream {name}");
        return Some(Finding::fault(ABOUT, found, format!("start the NATS server {server}")));
    }
    (!is_current || *lag > LAG_MAX).then(|| {
        Finding::warning(
            ABOUT,
            format!("the copy of the stream {name} at {server} is {lag} entries behind its leader"),
            format!("ask again in a minute; where it stays behind, see the log and the disk of {server}"),
        )
    })
}

fn room(seen: &[(String, StreamReport)], account: Result<Account, Error>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, report) in seen {
        if let Some(max) = report.bytes_max {
            let remedy = format!("give it more: nats stream edit {name} --max-bytes=-1");
            findings.extend(filled(&format!("the stream {name}"), report.bytes, max, &remedy));
        }
    }
    match account {
        Ok(Account { bytes, bytes_max: Some(max) }) => {
            let found = filled(
                "the broker's account",
                bytes,
                max,
                "raise max_file of the account in the NATS servers' configuration",
            );
            findings.push(found.unwrap_or_else(|| {
                Finding::good(ABOUT, format!("the streams take {} of {}", mib(bytes), mib(max)))
            }));
        }
        Ok(Account { bytes, bytes_max: None }) => findings.push(Finding::good(
            ABOUT,
            format!(
                "the streams take {}, and may take what max_file_store in each server's configuration says",
                mib(bytes)
            ),
        )),
        // A service's own user may not ask.
        Err(_) => findings.push(Finding::good(
            ABOUT,
            format!(
                "the streams take {}; of how much, this user may not ask",
                mib(seen.iter().map(|(_, report)| report.bytes).sum())
            ),
        )),
    }
    findings
}

fn filled(what: &str, bytes: u64, max: u64, remedy: &str) -> Option<Finding> {
    let percent = bytes.saturating_mul(100) / max.max(1);
    let found = format!("{what} is {percent} % full, {} of {}", mib(bytes), mib(max));
    match percent {
        FAULT_PERCENT.. => Some(Finding::fault(ABOUT, found, remedy)),
        WARNING_PERCENT.. => Some(Finding::warning(ABOUT, found, remedy)),
        _ => None,
    }
}

/// An amount as a person reads it.
pub fn mib(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        mib if mib < 10 << 10 => format!("{mib} MiB"),
        mib => format!("{} GiB", mib >> 10),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Kind;
    use super::*;

    fn report(followers: Vec<Replica>) -> StreamReport {
        StreamReport {
            differences: Vec::new(),
            as_it_should_be: String::new(),
            bytes: 80,
            bytes_max: None,
            replicas: 3,
            leader: Some("a".to_owned()),
            followers,
            at: None,
        }
    }

    fn replica(is_current: bool, is_offline: bool, lag: u64) -> Replica {
        Replica { server: "b".to_owned(), is_current, is_offline, lag }
    }

    fn kinds(findings: &[Finding]) -> Vec<Kind> {
        findings.iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn a_copy_that_is_away_is_a_fault_and_one_that_lags_a_warning() {
        let of = |followers| kinds(&of_stream("KEYS", &report(followers), 3));
        assert_eq!(of(vec![replica(true, false, 0), replica(true, false, 3)]), []);
        assert_eq!(of(vec![replica(false, true, 0)]), [Kind::Fault]);
        assert_eq!(of(vec![replica(false, false, 0)]), [Kind::Warning]);
        assert_eq!(of(vec![replica(true, false, LAG_MAX + 1)]), [Kind::Warning]);
        let leaderless = StreamReport { leader: None, ..report(Vec::new()) };
        assert_eq!(kinds(&of_stream("KEYS", &leaderless, 3)), [Kind::Fault]);
        let single = StreamReport { replicas: 1, leader: None, ..report(Vec::new()) };
        assert_eq!(kinds(&of_stream("KEYS", &single, 1)), []);
        let found = of_stream("KEYS", &single, 3);
        assert_eq!(found[0].remedy.as_deref(), Some("nats stream edit KEYS --replicas=3"));
    }

    #[test]
    fn a_limit_is_a_warning_at_seven_tenths_and_a_fault_at_85_hundredths() {
        let kind = |bytes| filled("it", bytes, 1_000, "more").map(|finding| finding.kind);
        assert_eq!(kind(699), None);
        assert_eq!((kind(700), kind(849)), (Some(Kind::Warning), Some(Kind::Warning)));
        assert_eq!((kind(850), kind(2_000)), (Some(Kind::Fault), Some(Kind::Fault)));
    }

    #[test]
    fn amounts_are_read_by_people() {
        assert_eq!(mib(1), "1 KiB");
        assert_eq!(mib(3 << 20), "3 MiB");
        assert_eq!(mib(20 << 30), "20 GiB");
    }
}
