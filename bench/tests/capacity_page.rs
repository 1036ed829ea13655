//! The tables of `docs/operations/capacity.md` are what `bench::capacity` reckons. `make capacity-page` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use bench::capacity::{self, PAGE};
use std::{fs, path::Path};

/// Set to write the tables before they are compared.
const WRITE: &str = "WRITE_CAPACITY_PAGE";

/// The page with a table in the place of the one that begins with the same line.
fn with(page: &str, table: &str) -> String {
    let head = table.lines().next().unwrap();
    let start = page.find(&format!("{head}\n")).unwrap_or_else(|| panic!("the page has no table {head}"));
    let end = page[start..].find("\n\n").map_or(page.len(), |end| start + end + 1);
    format!("{}{table}{}", &page[..start], &page[end..])
}

#[test]
fn the_page_reckons_with_what_was_measured() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations/capacity.md");
    let committed = fs::read_to_string(&path).unwrap();
    let page = with(&with(&committed, &capacity::costs()), &capacity::table(&PAGE));
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &page).unwrap();
        return;
    }
    assert!(
        committed == page,
        "docs/operations/capacity.md is not what is reckoned: `make capacity-page` writes it"
    );
}
