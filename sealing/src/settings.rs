//! Where a service finds the root keys.

use crate::RootSource;
use service::config::Source;

/// Reads a service's settings.
pub fn read_root_source(source: &mut Source) -> RootSource {
    let folder: String = source.value(
        "roots",
        "roots",
        "The folder of the root keys (files root-1, root-2 …, mode 0600). Never in the same backup as the data",
    );
    let command: Option<String> = source.optional(
        "roots_command",
        "A command that prints the root keys, a line `<version> <base64url>` for each, in place of the folder",
    );
    command.map_or_else(|| RootSource::Folder(folder.into()), RootSource::Command)
}
