//! Paths that come from outside and are to be gone to.

/// The path, when it is one of our own pages and no way to another site: it begins with one slash, and neither a second one
/// nor a backslash (which browsers read as a slash) follows.
pub fn own(path: &str) -> Option<&str> {
    let mut bytes = path.bytes();
    let ours = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    let plain = path.bytes().all(|b| b > 0x20 && b < 0x7f && b != b'\\');
    (ours && plain && path.len() <= 2_000).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths_are_gone_to() {
        for good in ["/", "/room/tea_x7qa/", "/room/x/?at=1"] {
            assert_eq!(own(good), Some(good));
        }
        for bad in
            ["", "//evil.test", "/\\evil.test", "https://evil.test", "/a\nb", "javascript:x", "/a\\b", "/é"]
        {
            assert_eq!(own(bad), None, "{bad:?}");
        }
    }
}
