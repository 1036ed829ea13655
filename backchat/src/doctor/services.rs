//! The four services of the running single-node edition, as each says of itself that it is ready.

use std::time::Duration;

use service::probe;

use super::finding::Finding;
use crate::run_file::Addresses;

pub const ABOUT: &str = "services";
const ANSWER_MAX: Duration = Duration::from_secs(5);

pub async fn examine(addresses: &Addresses, findings: &mut Vec<Finding>) {
    let services = [
        ("gateway", addresses.gateway_operations),
        ("history worker", addresses.worker_operations),
        ("search worker", addresses.search_operations),
        ("auth service", addresses.auth_operations),
    ];
    for (name, operations) in services {
        findings.push(match probe::get(operations, "/readyz", ANSWER_MAX).await {
            Ok(answer) if answer.status == 200 => Finding::good(ABOUT, format!("the {name} is ready")),
            Ok(answer) => Finding::fault(
                ABOUT,
                format!("the {name} is not ready: {}", answer.body.trim()),
                format!("wait a minute, and see what it logs; curl http://{operations}/readyz asks it alone"),
            ),
            Err(error) => Finding::fault(
                ABOUT,
                format!("the {name} does not answer at {operations}: {error}"),
                "see what backchat logs, and start it again",
            ),
        });
    }
}
