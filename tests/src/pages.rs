//! The pages of docs/operations, and the commands in them that are executed: blocks that begin with ```` ```sh drill NAME ```` by drills,
//! and with ```` ```sh kubernetes NAME ```` on a Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const FENCE: &str = "```";

/// Where commands are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Drill,
    Kubernetes,
}

impl Place {
    const fn mark(self) -> &'static str {
        match self {
            Self::Drill => "```sh drill ",
            Self::Kubernetes => "```sh kubernetes ",
        }
    }
}

/// The commands by the names of their blocks.
pub struct Pages {
    blocks: BTreeMap<String, String>,
    executed: Mutex<BTreeSet<String>>,
}

impl Pages {
    /// Those of this repository that are executed there.
    ///
    /// # Panics
    /// When a page can't be read, or two blocks have one name.
    pub fn of(place: Place) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/operations");
        let pages = fs::read_dir(&folder).expect("there is a folder with pages");
        let mut blocks = BTreeMap::new();
        for page in pages.map(|page| page.expect("a folder can be read").path()) {
            if page.extension().is_some_and(|end| end == "md") {
                add(&mut blocks, place, &page, &fs::read_to_string(&page).expect("a page can be read"));
            }
        }
        Self { blocks, executed: Mutex::default() }
    }

    /// The commands of a block, which are about to be executed.
    ///
    /// # Panics
    /// When no page has such a block.
    pub fn block(&self, name: &str) -> &str {
        self.executed.lock().expect("nobody panics holding it").insert(name.to_owned());
        let block = self.blocks.get(name);
        block.unwrap_or_else(|| panic!("no page of docs/operations has commands called {name:?}"))
    }

    /// The blocks that nobody has executed.
    ///
    /// # Panics
    /// When somebody panicked holding the list.
    pub fn left(&self) -> Vec<&str> {
        let executed = self.executed.lock().expect("nobody panics holding it");
        self.blocks.keys().filter(|name| !executed.contains(*name)).map(String::as_str).collect()
    }
}

fn add(blocks: &mut BTreeMap<String, String>, place: Place, page: &Path, text: &str) {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix(place.mark()) else { continue };
        let commands: Vec<_> = lines.by_ref().take_while(|line| *line != FENCE).collect();
        let before = blocks.insert(name.to_owned(), commands.join("\n"));
        assert!(before.is_none(), "{}: there is another block {name:?}", page.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_are_marked_are_read_and_others_not() {
        let mut blocks = BTreeMap::new();
        let text = "# Page\n```sh drill one\nbackchat a\nbackchat b\n```\n\n```sh kubernetes one\nkubectl c\n```\n```sh drill two\nd\n```\n";
        add(&mut blocks, Place::Drill, Path::new("page.md"), text);
        let wanted = [("one", "backchat a\nbackchat b"), ("two", "d")];
        assert_eq!(blocks, wanted.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    }

    #[test]
    fn no_two_blocks_of_the_pages_have_one_name() {
        for place in [Place::Drill, Place::Kubernetes] {
            assert!(!Pages::of(place).left().is_empty(), "{place:?}");
        }
    }
}
