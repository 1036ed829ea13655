//! The settings of the programs that an operator runs against a topology, as files for a shell: `. cluster/backchat.env`.

use super::{Role, Topology};
use crate::files;
use crate::keys;
use crate::process::Launch;
use broker::SETUP;
use std::fmt::Write;

/// Writes a file for each program.
///
/// # Panics
/// When one can't be written.
pub fn write(topology: &Topology) {
    let operator = Launch::new("backchat".as_ref(), &topology.places.folder);
    let operator = topology.at_broker(operator, "BACKCHAT", SETUP).set("BACKCHAT_ROOTS", keys::folder());
    write_of(topology, "backchat", &operator.environment);
    write_of(topology, "backchat-setup", &topology.setup().environment);
    // With addresses that no process of the topology has.
    for role in [Role::Auth, Role::HistoryWorker] {
        let name = role.to_string();
        write_of(topology, &name, topology.service(role, &name).settings());
    }
}

fn write_of(topology: &Topology, program: &str, settings: &[(String, String)]) {
    let mut lines = String::new();
    for (name, value) in settings {
        let _ = writeln!(lines, "export {name}='{}'", value.replace('\'', r"'\''"));
    }
    files::replace(&topology.places.folder.join(format!("{program}.env")), &lines);
}
